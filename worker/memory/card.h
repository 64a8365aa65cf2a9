/* The agent's card `.agent` (contract section 4): YAML, small enough to scan by the hundred. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"
#include "worker/memory/learning.h"

struct card_figures {
    const char *state; /* "idle", "working" … as of this writing */
    uint64_t tasks_done, tokens_today, negative_streak;
    const char *day; /* "2026-04-29", of tokens_today */
    const char *last_task;
};

void card_print(const struct roster_agent *agent, enum throughput_class throughput_class,
                const struct learning *learning, const struct card_figures *figures, struct buffer *out);
