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

/* The file: the header, and then the answer's fields as messages have theirs (common/message.h). Bytes behind them
 * are left from longer answers. */
struct store_header {
    uint64_t magic, length, sum;
};

#define MAGIC 0x32534e41534f4741u /* "AGOSANS2" */
static const char store_name[] = TREE_NOTES "/answer";

struct answer_store {
    int tree;                   /* borrowed */
    int fd;                     /* of the file; -1: not open */
    bool written;               /* there is something to end */
    struct stored_answer found; /* task NULL: no answer is stored */
};

void stored_answer_free(struct stored_answer *answer)
{
    free(answer->task);
    free(answer->text);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct stored_answer){0};
}

static bool decode(const void *bytes, size_t length, struct stored_answer *answer)
{
    struct reader reader = {.at = bytes, .end = (const unsigned char *)bytes + length};
    if (message_get_number(&reader, &answer->hash) && message_get_number(&reader, &answer->deaths_before) &&
        message_get_text(&reader, &answer->task, length) &&
        message_get_text(&reader, &answer->text, length) &&
        message_get_text(&reader, &answer->finish_reason, length) &&
        message_get_text(&reader, &answer->model, length) &&
        message_get_number(&reader, &answer->usage.tokens_in) &&
        message_get_number(&reader, &answer->usage.tokens_out) &&
        message_get_number(&reader, &answer->usage.cached) &&
        message_get_number(&reader, &answer->usage.requests) &&
        message_get_number(&reader, &answer->usage.cost) && message_end(&reader))
        return true;
    stored_answer_free(answer);
    return false;
}

static void load(struct answer_store *store)
{
    OWNED char *text = NULL;
    struct store_header header;
    size_t length;
    int found = files_read(store->tree, store_name, 2 * ANSWER_STORE_MAX, &text, &length, NULL, NULL);
    if (found != 1 || length < sizeof header)
        return;
    memcpy(&header, text, sizeof header);
    const char *fields = text + sizeof header;
    store->written = header.magic == MAGIC && header.length <= length - sizeof header &&
                     names_hash(fields, header.length) == header.sum &&
                     decode(fields, header.length, &store->found);
}

struct answer_store *answer_store_open(int tree)
{
    struct answer_store *store = memory_new(1, sizeof *store);
    store->tree = tree;
    store->fd = -1;
    load(store);
    return store;
}

void answer_store_close(struct answer_store *store)
{
    if (!store)
        return;
    memory_close_at(&store->fd);
    stored_answer_free(&store->found);
    free(store);
}

static void encode(const struct stored_answer *answer, struct buffer *out)
{
    message_number(out, answer->hash);
    message_number(out, answer->deaths_before);
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

bool answer_store_write(struct answer_store *store, const struct stored_answer *answer)
{
    OWNED_BUFFER struct buffer fields = {0};
    encode(answer, &fields);
    if (fields.length > ANSWER_STORE_MAX || !notefile_open(store->tree, store_name, &store->fd))
        return false;
    struct store_header header = {MAGIC, fields.length, names_hash(fields.data, fields.length)};
    struct iovec parts[] = {{&header, sizeof header}, {fields.data, fields.length}};
    store->written = true;
    return pwritev(store->fd, parts, 2, 0) == (ssize_t)(sizeof header + fields.length);
}

/* Can it not be written: a task that the ledger knows is not done again, whatever was kept. */
void answer_store_end(struct answer_store *store)
{
    static const struct store_header nothing;
    if (store->written && notefile_open(store->tree, store_name, &store->fd))
        store->written = pwrite(store->fd, &nothing, sizeof nothing, 0) != sizeof nothing;
}

bool answer_store_take(struct answer_store *store, const char *task, uint64_t hash,
                       struct stored_answer *answer)
{
    if (!store->found.task || store->found.hash != hash || strcmp(store->found.task, task) != 0)
        return false;
    *answer = store->found;
    store->found = (struct stored_answer){0};
    return true;
}
