#include "worker/cycle/answer_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/note_file.h"
#include "common/tree.h"

/* The file: the header, and then the answer's fields as messages have theirs (common/message.h). What lies behind them
 * is of longer answers before. */
struct kept_header {
    uint64_t magic, length, sum;
};

#define MAGIC 0x31534e41534f4741u /* "AGOSANS1" */
static const char kept_name[] = TREE_NOTES "/answer";

struct kept {
    int tree;                 /* borrowed */
    int fd;                   /* of the file; -1: not open */
    bool written;             /* there is something to end */
    struct kept_answer found; /* task NULL: nothing */
};

void kept_answer_free(struct kept_answer *answer)
{
    free(answer->task);
    free(answer->text);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct kept_answer){0};
}

static bool decode(const void *bytes, size_t length, struct kept_answer *answer)
{
    struct reader reader = {.at = bytes, .end = (const unsigned char *)bytes + length};
    if (message_get_number(&reader, &answer->hash) && message_get_text(&reader, &answer->task, length) &&
        message_get_text(&reader, &answer->text, length) &&
        message_get_text(&reader, &answer->finish_reason, length) &&
        message_get_text(&reader, &answer->model, length) &&
        message_get_number(&reader, &answer->usage.tokens_in) &&
        message_get_number(&reader, &answer->usage.tokens_out) &&
        message_get_number(&reader, &answer->usage.cached) &&
        message_get_number(&reader, &answer->usage.requests) &&
        message_get_number(&reader, &answer->usage.cost) && message_end(&reader))
        return true;
    kept_answer_free(answer);
    return false;
}

static void load(struct kept *kept)
{
    OWNED char *text = NULL;
    struct kept_header header;
    size_t length;
    int found = files_read(kept->tree, kept_name, 2 * KEPT_BYTES_MAX, &text, &length, NULL, NULL);
    if (found != 1 || length < sizeof header)
        return;
    memcpy(&header, text, sizeof header);
    const char *fields = text + sizeof header;
    kept->written = header.magic == MAGIC && header.length <= length - sizeof header &&
                    names_hash(fields, header.length) == header.sum &&
                    decode(fields, header.length, &kept->found);
}

struct kept *kept_open(int tree)
{
    struct kept *kept = memory_new(1, sizeof *kept);
    kept->tree = tree;
    kept->fd = -1;
    load(kept);
    return kept;
}

void kept_close(struct kept *kept)
{
    if (!kept)
        return;
    if (kept->fd >= 0)
        close(kept->fd);
    kept_answer_free(&kept->found);
    free(kept);
}

static void encode(const struct kept_answer *answer, struct buffer *out)
{
    message_number(out, answer->hash);
    message_text(out, answer->task);
    message_text(out, answer->text);
    message_text(out, answer->finish_reason);
    message_text(out, answer->model);
    message_number(out, answer->usage.tokens_in);
    message_number(out, answer->usage.tokens_out);
    message_number(out, answer->usage.cached);
    message_number(out, answer->usage.requests);
    message_number(out, answer->usage.cost);
}

bool kept_write(struct kept *kept, const struct kept_answer *answer)
{
    OWNED_BUFFER struct buffer fields = {0};
    encode(answer, &fields);
    if (fields.length > KEPT_BYTES_MAX || !notefile_open(kept->tree, kept_name, &kept->fd))
        return false;
    struct kept_header header = {MAGIC, fields.length, names_hash(fields.data, fields.length)};
    struct iovec parts[] = {{&header, sizeof header}, {fields.data, fields.length}};
    kept->written = true;
    return pwritev(kept->fd, parts, 2, 0) == (ssize_t)(sizeof header + fields.length);
}

/* Can it not be written: a task that the ledger knows is not done again, whatever was kept. */
void kept_end(struct kept *kept)
{
    static const struct kept_header nothing;
    if (kept->written && notefile_open(kept->tree, kept_name, &kept->fd))
        kept->written = pwrite(kept->fd, &nothing, sizeof nothing, 0) != sizeof nothing;
}

bool kept_take(struct kept *kept, const char *task, uint64_t hash, struct kept_answer *answer)
{
    if (!kept->found.task || kept->found.hash != hash || strcmp(kept->found.task, task) != 0)
        return false;
    *answer = kept->found;
    kept->found = (struct kept_answer){0};
    return true;
}
