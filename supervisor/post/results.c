/* Whether a result answers a request: the requester's own copy of the request decides, for the answering worker
 * writes its tree, and the fields of its envelopes, as it likes.
 *
 * A request is answered by its receiver, and once. The result that answered stands in .run/answers/REQUESTER, a table
 * of hashes in sets: a request's set is known by its hash, and the newest of a set push out its oldest. The mark is
 * written before the result is delivered: after a crash between, the mark lets the same result in again, and no
 * other. After a loss of power, or where people remove the file, one more answer may be taken for each request. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum { ANSWER_SETS = 2048, ANSWERS_IN_SET = 8 };

static unsigned long long hash_of(const char *id, int64_t created)
{
    OWNED char *both = memory_print("%s %" PRId64, id, created);
    return names_hash(both, strlen(both));
}

static bool went_to(const struct post *post, const struct envelope *request, const char *agent)
{
    static const char queue[] = "queue:";
    if (request->kind == KIND_HANDOFF)
        return strcmp(request->to, agent) == 0;
    if (request->kind != KIND_ITEM || strncmp(request->to, queue, sizeof queue - 1) != 0)
        return false;
    for (size_t i = 0; i < post->roster->queue_count; i++) {
        const struct roster_queue *one = &post->roster->queues[i];
        for (size_t j = 0; strcmp(one->name, request->to + sizeof queue - 1) == 0 && j < one->consumers.count;
             j++)
            if (strcmp(one->consumers.items[j], agent) == 0)
                return true;
    }
    return false;
}

struct answer { /* hashes */
    uint64_t request, result;
};

/* 1: this result is the first, or has answered before; 0: another one has; -1 and why: the table can't be read now. */
static int is_first(const struct box *requester, const struct envelope *request, const char *result,
                    struct fault *why)
{
    const struct answer answer = {hash_of(request->id, request->created), names_hash(result, strlen(result))};
    const off_t place = (off_t)(answer.request % ANSWER_SETS) * (off_t)sizeof(struct answer[ANSWERS_IN_SET]);
    struct answer set[ANSWERS_IN_SET] = {{0}};
    OWNED_FD int folder = files_open_folder(requester->post->data, ".run/answers", true, why);
    OWNED_FD int file = folder < 0 ? -1 : files_open(folder, requester->name, O_RDWR | O_CREAT, 0600);
    if (file < 0 || pread(file, set, sizeof set, place) < 0)
        return fault_errno(why, "cannot read which requests of %s are answered", requester->name), -1;
    for (size_t i = 0; i < ANSWERS_IN_SET; i++)
        if (set[i].request == answer.request)
            return set[i].result == answer.result;
    memmove(&set[1], &set[0], sizeof set - sizeof set[0]);
    set[0] = answer;
    if (pwrite(file, set, sizeof set, place) == (ssize_t)sizeof set)
        return 1;
    fault_errno(why, "cannot write which requests of %s are answered", requester->name);
    return -1;
}

static enum mailbox_found read_request(const struct post *post, const struct box *requester, const char *id,
                                       struct envelope *request, struct fault *why)
{
    /* In the order of a request's way. */
    static const enum folder folders[] = {FOLDER_OUTBOX, FOLDER_ARCHIVE};
    enum mailbox_found found = MAILBOX_GONE;
    for (size_t i = 0; i < 2 && found == MAILBOX_GONE; i++)
        found = mailbox_read(post->data, requester->name, folders[i], id, request, NULL, why);
    return found;
}

/* A result stays on the trace of its request, one hop further. */
static void take_route(struct envelope *result, const struct envelope *request)
{
    memory_set(&result->trace, request->trace);
    result->hops = request->hops + 1;
}

enum result_verdict post_result(const struct box *sender, struct envelope *result, struct fault *why)
{
    struct post *post = sender->post;
    struct box *requester = post_box(post, result->to);
    const char *id = result->in_reply_to ? result->in_reply_to : "";
    OWNED_ENVELOPE struct envelope request = {0};
    if (!requester || requester == post->people || !names_id(id))
        return fault_set(why, "it answers no request"), RESULT_REFUSED;
    enum mailbox_found found = read_request(post, requester, id, &request, why);
    if (found == MAILBOX_LATER)
        return RESULT_LATER;
    if (found == MAILBOX_GONE && !post_outbox_settled(requester)) {
        fault_set(why, "the agent %s hasn't brought its own commits to their end", result->to);
        return RESULT_LATER;
    }
    if (found != MAILBOX_READ || !went_to(post, &request, sender->name))
        return fault_set(why, "%s has not asked %s for %s", result->to, sender->name, id), RESULT_REFUSED;
    int first = is_first(requester, &request, result->id, why);
    if (first > 0)
        take_route(result, &request);
    else if (first == 0)
        fault_set(why, "%s of %s is answered already", id, result->to);
    return first > 0 ? RESULT_TAKEN : first == 0 ? RESULT_REFUSED : RESULT_LATER;
}
