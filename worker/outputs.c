/* outputs/TASK.md: the full answer to each task, with where it came from in front. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/yamldoc.h"
#include "worker/worker.h"

void outputs_print(const struct worker *worker, const struct reply *reply, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_text(out, "---\n");
    yaml_write_text(out, "task", worker->task.id);
    buffer_print(out, "at: %s\nreward: %s%d\n", clock_format(now, at), reply->reward > 0 ? "+" : "",
                 reply->reward);
    if (reply->reason)
        yaml_write_text(out, "reason", reply->reason);
    if (worker->answer.model && *worker->answer.model)
        yaml_write_text(out, "model", worker->answer.model);
    if (worker->answer.finish_reason && *worker->answer.finish_reason)
        yaml_write_text(out, "finish_reason", worker->answer.finish_reason);
    buffer_print(out, "tokens: %llu\n",
                 (unsigned long long)(worker->answer.tokens_in + worker->answer.tokens_out));
    yaml_write_text(out, "asked", worker->task.text);
    buffer_text(out, "---\n");
    buffer_text(out, reply->answer);
    if (out->data[out->length - 1] != '\n')
        buffer_text(out, "\n");
}
