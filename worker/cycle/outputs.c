/* outputs/TASK.md: the full answer to each task, with where it came from in front. */
#include "common/clock.h"
#include "common/format/answer_file.h"
#include "common/format/yamldoc.h"
#include "worker/cycle/worker.h"

void outputs_print(const struct worker *worker, const struct reply *reply, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_text(out, "---\n");
    yaml_write_text(out, "task", worker->task.id);
    buffer_print(out, "at: %s\nreward: %s%d\n", clock_format(now, at), reply->reward > 0 ? "+" : "",
                 reply->reward);
    if (reply->reason)
        yaml_write_text(out, "reason", reply->reason);
    if (worker->task.answer.model && *worker->task.answer.model)
        yaml_write_text(out, "model", worker->task.answer.model);
    if (worker->task.answer.finish_reason && *worker->task.answer.finish_reason)
        yaml_write_text(out, "finish_reason", worker->task.answer.finish_reason);
    buffer_print(out, "tokens: %llu\n",
                 (unsigned long long)(worker->task.usage.tokens_in + worker->task.usage.tokens_out));
    buffer_print(out, "asked_hash: %016llx\n", (unsigned long long)answer_hash(worker->task.text));
    if (worker->task.whole)
        buffer_print(out, "whole_hash: %016llx\n", (unsigned long long)worker->task.whole);
    /* last: this field may be longer than the part of a head that is read */
    yaml_write_text(out, "asked", worker->task.text);
    buffer_text(out, "---\n");
    buffer_text(out, reply->answer);
    if (out->data[out->length - 1] != '\n')
        buffer_text(out, "\n");
}
