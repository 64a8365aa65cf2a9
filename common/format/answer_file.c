#include "common/format/answer_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/format/frontmatter.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

uint64_t answer_hash(const char *text)
{
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n\f\v", text[length - 1]))
        length--;
    uint64_t hash = names_hash(text, length);
    return hash ? hash : 1;
}

uint64_t answer_hash_whole(const struct block *block)
{
    OWNED char *whole =
        memory_print("%016" PRIx64 " %d %" PRId64 " %s", answer_hash(block->task ? block->task : ""),
                     (int)block->priority, block->ttl_seconds, block->lock ? block->lock : "");
    return answer_hash(whole);
}

uint64_t answer_hash_asked(const char *body)
{
    const char *section = strstr(body, ANSWER_SECTION);
    OWNED char *asked = section ? memory_slice(body, (size_t)(section - body)) : memory_text(body);
    return answer_hash(asked);
}

static void take_head(struct answer_file *answer, const struct frontmatter *matter)
{
    const char *task = frontmatter_text(matter, "task"), *reward = frontmatter_text(matter, "reward");
    const char *whole = frontmatter_text(matter, "whole_hash");
    const char *hash = frontmatter_text(matter, "asked_hash"), *asked = frontmatter_text(matter, "asked");
    answer->task = task ? memory_text(task) : NULL;
    answer->reward = reward ? (int)strtol(reward, NULL, 10) : 0;
    answer->whole = whole ? strtoull(whole, NULL, 16) : 0;
    answer->asked = hash ? strtoull(hash, NULL, 16) : asked ? answer_hash(asked) : 0;
}

/* `asked` may be longer than front matter is read, and stands last in it: without it, if need be. */
static bool read_head(struct answer_file *answer, size_t length, const char *path)
{
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (!frontmatter_parse(&matter, answer->text, length, path, NULL)) {
        const char *asked = strstr(answer->text, "\nasked:");
        if (!asked)
            return false;
        OWNED char *head = memory_print("%.*s\n---\n", (int)(asked - answer->text), answer->text);
        if (!frontmatter_parse(&matter, head, strlen(head), path, NULL))
            return false;
    }
    take_head(answer, &matter);
    return answer->task != NULL;
}

bool answer_parse(struct answer_file *answer, char *text, size_t length, const char *path)
{
    *answer = (struct answer_file){.text = text};
    const char *end = strncmp(text, "---", 3) == 0 ? strstr(text, "\n---\n") : NULL;
    if (end && read_head(answer, length, path)) {
        answer->body = end + strlen("\n---\n");
        return true;
    }
    answer_free(answer);
    return false;
}

static int read_path(int tree, const char *path, struct answer_file *answer, struct fault *fault)
{
    size_t length;
    char *text = NULL;
    *answer = (struct answer_file){0};
    int found = files_read(tree, path, QUEUE_FILE_MAX, &text, &length, NULL, fault);
    return found != 1 ? found : answer_parse(answer, text, length, path);
}

int answer_read(int tree, const char *task, struct answer_file *answer, struct fault *fault)
{
    OWNED char *now = names_file(task), *before = names_file_before(task);
    const char *const names[] = {now, before};
    for (size_t i = 0; i < 2; i++) {
        OWNED char *path = memory_print("%s/%s.md", TREE_OUTPUTS, names[i]);
        int found = read_path(tree, path, answer, fault);
        if (found == 1 && strcmp(answer->task, task) != 0) {
            answer_free(answer);
            found = 0;
        }
        if (found != 0)
            return found;
    }
    return 0;
}

/* The youngest file of those older than *before, and its time there. NULL: there is none, or fault is set. */
static char *youngest(int tree, int64_t *before, bool *failed, struct fault *fault)
{
    char *found = NULL;
    int64_t limit = *before;
    struct listing *names = listing_open(tree, TREE_OUTPUTS, fault);
    *failed = !names && errno != ENOENT;
    for (const char *name; names && (name = listing_next(names));) {
        char *path = memory_print("%s/%s", TREE_OUTPUTS, name);
        int64_t time = files_stamp_at(tree, path).modified_ns;
        if (names_work(name) && time > 0 && time < limit && (!found || time > *before)) {
            free(found);
            found = path;
            *before = time;
        } else
            free(path);
    }
    if (names && !listing_close(names, fault))
        *failed = true;
    return found;
}

int answer_read_last(int tree, struct answer_file *answer, struct fault *fault)
{
    int64_t before = INT64_MAX;
    bool failed;
    for (char *path; (path = youngest(tree, &before, &failed, fault)); free(path)) {
        int found = failed ? -1 : read_path(tree, path, answer, fault);
        if (found == 0)
            continue;
        free(path);
        return found;
    }
    return failed ? -1 : 0;
}

void answer_free(struct answer_file *answer)
{
    free(answer->task);
    free(answer->text);
    *answer = (struct answer_file){0};
}
