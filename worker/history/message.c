/* The text of a commit. The facts that the ledger is made of stand in trailers of ours, the last paragraph; no text
 * from outside can look like such a trailer. */
#include "worker/history/part.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/utf8.h"

#define TRAILER_PREFIX "Agentos-"
#define TRAILER_TASK   TRAILER_PREFIX "Task: "
#define TRAILER_HASH   TRAILER_PREFIX "Task-Hash: "
#define TRAILER_END    TRAILER_PREFIX "End: "

/* Control characters and '%' as %XX, blanks at the ends too, so that the value stays on its line and comes back
 * byte for byte. */
static void add_encoded(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    bool plain_bytes = utf8_valid(text, length);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool at_end = i == 0 || i + 1 == length;
        if (c < ' ' || c == 0x7f || c == '%' || (c == ' ' && at_end) || (c >= 0x80 && !plain_bytes))
            buffer_print(out, "%%%02X", c);
        else
            buffer_add(out, text + i, 1);
    }
}

static char *decode(const char *text, size_t length)
{
    char *plain = memory_new(length + 1, 1), *to = plain;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%' && i + 2 < length && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            char digits[3] = {text[i + 1], text[i + 2], '\0'};
            *to++ = (char)strtoul(digits, NULL, 16);
            i += 2;
        } else
            *to++ = text[i];
    }
    return plain;
}

static void add_subject(struct buffer *out, const char *subject)
{
    OWNED char *clean = utf8_clean(subject ? subject : "", subject ? strlen(subject) : 0);
    bool empty = true;
    for (char *c = clean; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
        empty = empty && *c == ' ';
    }
    buffer_text(out, empty ? "(no subject)" : clean);
    buffer_text(out, "\n");
}

static void add_body(struct buffer *out, const char *body)
{
    OWNED char *clean = utf8_clean(body, strlen(body));
    buffer_text(out, "\n");
    for (const char *line = clean; *line;) {
        size_t length = strcspn(line, "\n");
        const char *word = line + strspn(line, " \t\r\f\v");
        if (strncasecmp(word, TRAILER_PREFIX, strlen(TRAILER_PREFIX)) == 0)
            buffer_text(out, "> ");
        buffer_add(out, line, length);
        buffer_text(out, "\n");
        line += length + (line[length] == '\n');
    }
}

static void add_cost(struct buffer *out, uint64_t cost)
{
    buffer_text(out, TRAILER_PREFIX "Cost: ");
    usage_print_cost(out, cost);
    buffer_text(out, "\n");
}

static void add_usage(struct buffer *out, const struct question_usage *usage)
{
    buffer_print(out, TRAILER_PREFIX "Tokens: %" PRIu64 " %" PRIu64 "\n", usage->tokens_in,
                 usage->tokens_out);
    if (usage->cached)
        buffer_print(out, TRAILER_PREFIX "Cached: %" PRIu64 "\n", usage->cached);
    if (usage->requests)
        buffer_print(out, TRAILER_PREFIX "Requests: %" PRIu64 "\n", usage->requests);
    if (usage->cost != USAGE_NO_COST)
        add_cost(out, usage->cost);
}

static void add_trailers(struct buffer *out, const struct task_trailers *trailers)
{
    buffer_text(out, "\n" TRAILER_TASK);
    add_encoded(out, trailers->task);
    buffer_print(out, "\n" TRAILER_HASH "%016llx\n", (unsigned long long)trailers->task_hash);
    buffer_print(out, TRAILER_PREFIX "Reward: %s%d\n", trailers->reward > 0 ? "+" : "", trailers->reward);
    add_usage(out, trailers->usage ? trailers->usage : &(struct question_usage){.cost = USAGE_NO_COST});
    buffer_text(out, TRAILER_END);
    add_encoded(out, trailers->end ? trailers->end : "done");
    buffer_text(out, "\n" TRAILER_PREFIX "Source: ");
    add_encoded(out, trailers->source ? trailers->source : "queue");
    buffer_text(out, "\n");
}

/* The characters that git itself takes out of a name: brackets, control characters, blanks at the ends. */
static char *name_for_git(const char *text, const char *otherwise)
{
    OWNED char *clean = utf8_clean(text, strlen(text));
    char *to = clean;
    for (const char *from = clean; *from; from++)
        if ((unsigned char)*from >= ' ' && *from != '<' && *from != '>' && *from != 0x7f &&
            !(to == clean && *from == ' '))
            *to++ = *from;
    while (to > clean && to[-1] == ' ')
        to--;
    *to = '\0';
    return memory_text(*clean ? clean : otherwise);
}

/* The repository's own user.name and user.email, else "people". */
static void people(const struct history *history, char **name, char **email)
{
    OWNED char *path = memory_print("%s/.git/config", history->path);
    git_config *config = NULL;
    git_buf text = {0};
    *name = *email = NULL;
    if (history_fits(history, ".git/config", NULL) && git_config_open_ondisk(&config, path) == 0) {
        if (git_config_get_string_buf(&text, config, "user.name") == 0)
            *name = name_for_git(text.ptr, "people");
        git_buf_dispose(&text);
        if (git_config_get_string_buf(&text, config, "user.email") == 0)
            *email = name_for_git(text.ptr, "people@agentos");
        git_buf_dispose(&text);
        git_config_free(config);
    }
    if (!*name)
        *name = memory_text("people");
    if (!*email)
        *email = memory_text("people@agentos");
}

void message_commit(const struct history *history, const struct commit_request *request, const git_oid *tree,
                    const git_oid *parent, struct buffer *out)
{
    char id[COMMIT_TEXT];
    long long now = (long long)clock_now();
    git_oid_tostr(id, sizeof id, tree);
    buffer_print(out, "tree %s\n", id);
    if (!object_id_zero(parent)) {
        git_oid_tostr(id, sizeof id, parent);
        buffer_print(out, "parent %s\n", id);
    }
    OWNED char *name = NULL, *email = NULL;
    if (request->author == AUTHOR_PEOPLE)
        people(history, &name, &email);
    else {
        name = memory_text(history->agent);
        email = memory_print("%s@agentos", history->agent);
    }
    buffer_print(out, "author %s <%s> %lld +0000\ncommitter %s <%s@agentos> %lld +0000\n\n", name, email, now,
                 history->agent, history->agent, now);
    add_subject(out, request->subject);
    if (request->body && *request->body)
        add_body(out, request->body);
    if (request->trailers.task)
        add_trailers(out, &request->trailers);
    if (history->epoch)
        buffer_print(out, "%s" TRAILER_EPOCH "%" PRIu64 "\n", request->trailers.task ? "" : "\n",
                     history->epoch);
}

/* The value of a line that begins with prefix, in a paragraph. */
static const char *line_value(const char *text, const char *end, const char *prefix, size_t *length)
{
    size_t n = strlen(prefix);
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            stop = end;
        if ((size_t)(stop - line) >= n && memcmp(line, prefix, n) == 0) {
            *length = (size_t)(stop - line) - n;
            return line + n;
        }
        line = stop + 1;
    }
    return NULL;
}

bool message_task(const char *text, size_t length, char **task, uint64_t *task_hash, bool *answered)
{
    *task = NULL;
    *answered = true;
    const char *end = text + length, *message = memmem(text, length, "\n\n", 2);
    if (!message)
        return false;
    message += 2;
    while (end > message && isspace((unsigned char)end[-1]))
        end--;
    /* The last paragraph, and not the first, which is the subject. */
    const char *last = NULL;
    for (const char *at = message; (at = memmem(at, (size_t)(end - at), "\n\n", 2)) != NULL; at++)
        last = at + 2;
    if (!last)
        return false;
    size_t task_length, hash_length;
    const char *value = line_value(last, end, TRAILER_TASK, &task_length);
    const char *hash = line_value(last, end, TRAILER_HASH, &hash_length);
    if (!value || !hash || hash_length < 16)
        return false;
    char digits[17] = {0};
    memcpy(digits, hash, 16);
    *task_hash = strtoull(digits, NULL, 16);
    size_t how_length;
    const char *how = line_value(last, end, TRAILER_END, &how_length);
    *answered = !how || (how_length == 4 && memcmp(how, "done", 4) == 0);
    *task = decode(value, task_length);
    return true;
}
