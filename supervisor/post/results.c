/* Whether a result answers anything: the requester's own copy of the request is asked, for the answering worker writes
 * its tree, and the fields of what it sends, as it likes.
 *
 * A request is answered by whom it went to, and once. Which result answered is remembered here, for the last ANSWERS_KEPT
 * requests of a requester: after a restart of the supervisor a second answer would be taken once more, and no more than
 * there are requests. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum { ANSWERS_KEPT = 1024 };

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

/* False: another result has answered it. */
static bool is_first(struct box *requester, const struct envelope *request, const char *result)
{
    const struct answer answer = {hash_of(request->id, request->created), names_hash(result, strlen(result))};
    for (size_t i = 0; i < requester->answers.count && i < ANSWERS_KEPT; i++)
        if (requester->answers.ring[i].request == answer.request)
            return requester->answers.ring[i].result == answer.result;
    if (!requester->answers.ring)
        requester->answers.ring = memory_new(ANSWERS_KEPT, sizeof *requester->answers.ring);
    requester->answers.ring[requester->answers.count++ % ANSWERS_KEPT] = answer;
    return true;
}

static enum mailbox_found read_request(const struct post *post, const struct box *requester, const char *id,
                                       struct envelope *request, struct fault *why)
{
    static const enum folder folders[] = {FOLDER_OUTBOX, FOLDER_ARCHIVE}; /* the way that it goes */
    enum mailbox_found found = MAILBOX_GONE;
    for (size_t i = 0; i < 2 && found == MAILBOX_GONE; i++)
        found = mailbox_read(post->data, requester->name, folders[i], id, request, NULL, why);
    return found;
}

/* A result stays on the trace of what it answers, one hop further. */
static void take_route(struct envelope *result, const struct envelope *request)
{
    free(result->trace);
    result->trace = memory_text(request->trace);
    result->hops = request->hops + 1;
}

enum result_verdict post_result(const struct box *sender, struct envelope *result, struct fault *why)
{
    struct post *post = sender->post;
    struct box *requester = post_box(post, result->to);
    const char *id = result->in_reply_to ? result->in_reply_to : "";
    struct envelope request;
    if (!requester || requester == post->people || !names_id(id)) {
        fault_set(why, "it answers no request");
        return RESULT_REFUSED;
    }
    enum mailbox_found found = read_request(post, requester, id, &request, why);
    if (found == MAILBOX_LATER)
        return RESULT_LATER;
    if (found == MAILBOX_GONE && !post_outbox_settled(requester)) {
        fault_set(why, "the agent %s hasn't brought its own commits to their end", result->to);
        return RESULT_LATER;
    }
    if (found != MAILBOX_READ || !went_to(post, &request, sender->name)) {
        fault_set(why, "%s has not asked %s for %s", result->to, sender->name, id);
        if (found == MAILBOX_READ)
            envelope_free(&request);
        return RESULT_REFUSED;
    }
    bool taken = is_first(requester, &request, result->id) ||
                 fault_set(why, "%s of %s is answered already", id, result->to);
    if (taken)
        take_route(result, &request);
    envelope_free(&request);
    return taken ? RESULT_TAKEN : RESULT_REFUSED;
}
