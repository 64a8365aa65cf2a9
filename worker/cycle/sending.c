/* Envelopes that leave with a cycle's commit: handoffs, messages and items of the reply, its writes to segments, and
 * the result to the agent that gave the work. All of them lie in iac/outbox with the commit; only then is the
 * supervisor told to look. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/cycle/worker.h"

/* The fields that every envelope of this cycle has in common. */
struct origin {
    int64_t now, hops;
    const char *trace;
};

/* An envelope that grew out of a task has one hop; out of an envelope, one hop more than the farthest envelope that
 * this cycle has read. */
static struct origin origin_of(const struct worker *worker, int64_t now)
{
    const struct task *task = &worker->task;
    struct origin origin = {.now = now, .hops = 1, .trace = task->id};
    if (!task->by_post)
        return origin;
    origin.trace = task->opened.envelope.trace;
    int64_t most = task->opened.envelope.hops;
    for (size_t i = 0; i < task->bundle.count; i++)
        if (task->bundle.items[i].envelope.hops > most)
            most = task->bundle.items[i].envelope.hops;
    origin.hops = most + 1;
    return origin;
}

/* Refused here, since nobody else would take it: the dead letter has its beginning, outputs/ the whole text. */
static void refuse(struct worker *worker, struct envelope *envelope, size_t size, const struct origin *origin,
                   struct sending *sending, struct change_list *changes)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("%s/%s.md", TREE_DEAD_LETTERS, envelope->id);
    OWNED char *whole = memory_print("%s/%s.md", TREE_OUTPUTS, envelope->id);
    envelope->status = "refused";
    envelope->finished = origin->now;
    envelope->reason = memory_print("it has %zu bytes, an envelope at most %d", size, ENVELOPE_MAX);
    mail_print(envelope, &text);
    change_list_add(changes, CHANGE_WRITE, path, text.data, text.length);
    change_list_add(changes, CHANGE_WRITE, whole, envelope->body, strlen(envelope->body));
    buffer_print(&sending->refused, "The %s to %s (%s) was refused: %s; its whole text is in %s. ",
                 envelope_kind_name(envelope->kind), envelope->to, envelope->id, envelope->reason, whole);
    log_warn("agent", worker->name, "The %s to %s (%s) is not sent: %s.", envelope_kind_name(envelope->kind),
             envelope->to, envelope->id, envelope->reason);
    *MEMORY_ADD(sending->kept, sending->kept_count) = (struct envelope){.id = memory_text(envelope->id),
                                                                        .kind = envelope->kind,
                                                                        .to = memory_text(envelope->to),
                                                                        .reason = envelope->reason};
}

/* envelope: all but what every envelope of the cycle has in common. */
static void add(struct worker *worker, struct envelope envelope, const struct origin *origin,
                struct sending *sending, struct change_list *changes)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *id = names_new_id();
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTBOX, id);
    envelope.id = id;
    envelope.from = (char *)(uintptr_t)worker->name;
    envelope.created = origin->now;
    envelope.status = "pending";
    envelope.hops = origin->hops;
    envelope.trace = (char *)(uintptr_t)origin->trace;
    envelope_print(&envelope, &text);
    if (text.length > ENVELOPE_MAX) {
        refuse(worker, &envelope, text.length, origin, sending, changes);
        return;
    }
    change_list_add(changes, CHANGE_WRITE, path, text.data, text.length);
    buffer_print(&sending->ids, "%s\n", id);
}

/* The answer goes back to the agent that gave the work. An answer too long for an envelope is cut; the whole of it is in
 * outputs/ here. */
static void add_result(struct worker *worker, const struct reply *reply, const struct origin *origin,
                       struct sending *sending, struct change_list *changes)
{
    const struct task *task = &worker->task;
    const struct envelope *work = &task->opened.envelope;
    if (!task->by_post || !envelope_kind_has(work->kind, KIND_IS_WORK) || strcmp(work->from, "operator") == 0)
        return;
    struct envelope result = {.kind = KIND_RESULT,
                              .to = work->from,
                              .priority = work->priority,
                              .in_reply_to = work->id,
                              .reason = reply->reason,
                              .body = reply->answer};
    OWNED char *body = NULL;
    if (strlen(reply->answer) > ENVELOPE_MAX - 8192) {
        body = memory_print("%.*s\n\n[… cut here: %s has the whole answer in %s/%s.md]\n",
                            (int)utf8_cut(reply->answer, strlen(reply->answer), ENVELOPE_MAX - 8192),
                            reply->answer, worker->name, TREE_OUTPUTS, task->id);
        result.body = body;
    }
    add(worker, result, origin, sending, changes);
}

void sending_gather(struct worker *worker, const struct reply *reply, int64_t now, struct sending *sending,
                    struct change_list *changes)
{
    const struct origin origin = origin_of(worker, now);
    int64_t ttl = worker->start->agent->ttl_seconds;
    for (size_t i = 0; i < reply->send_count; i++) {
        const struct reply_send *send = &reply->sends[i];
        OWNED char *queue = memory_print("queue:%s", send->to);
        const struct envelope envelope = {.kind = send->kind,
                                          .to = send->kind == KIND_ITEM ? queue : send->to,
                                          .ttl_seconds = send->ttl_seconds >= 0 ? send->ttl_seconds : ttl,
                                          .priority = send->priority,
                                          .body = send->text};
        add(worker, envelope, &origin, sending, changes);
    }
    for (size_t i = 0; i < reply->segment_count; i++) {
        const struct reply_segment *segment = &reply->segments[i];
        OWNED char *to = memory_print("segment:%s", segment->name);
        const struct envelope envelope = {.kind = KIND_SEGMENT,
                                          .to = to,
                                          .priority = PRIORITY_NORMAL,
                                          .base_version =
                                              segment->base_version > 0 ? segment->base_version : 0,
                                          .body = segment->body};
        add(worker, envelope, &origin, sending, changes);
    }
    add_result(worker, reply, &origin, sending, changes);
}

void sending_told(struct worker *worker, struct sending *sending)
{
    for (size_t i = 0; i < sending->kept_count; i++)
        mail_refused(worker->mail, &sending->kept[i], sending->kept[i].reason);
    if (sending->ids.length == 0)
        return;
    sending->ids.data[sending->ids.length - 1] = '\0';
    worker_say(worker, MESSAGE_POST, sending->ids.data);
}

void sending_free(struct sending *sending)
{
    for (size_t i = 0; i < sending->kept_count; i++)
        envelope_free(&sending->kept[i]);
    free(sending->kept);
    buffer_free(&sending->ids);
    buffer_free(&sending->refused);
}
