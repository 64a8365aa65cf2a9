#include "worker/memory/card.h"

#include <inttypes.h>

#include "common/format/yamldoc.h"

enum { CAPABILITIES_MAX = 20 };

void card_print(const struct roster_agent *agent, enum throughput_class throughput_class,
                const struct learning *learning, const struct card_figures *figures, struct buffer *out)
{
    size_t skills = learning ? learning_skill_count(learning) : 0;
    yaml_write_text(out, "name", agent->name);
    yaml_write_text(out, "domain", agent->domain ? agent->domain : "");
    yaml_write_text(out, "throughput_class", class_name(throughput_class));
    yaml_write_text(out, "state", figures->state);
    buffer_text(out, skills ? "capabilities:\n" : "capabilities: []\n");
    for (size_t i = 0; i < skills && i < CAPABILITIES_MAX; i++) {
        buffer_text(out, "  - ");
        yaml_write_scalar(out, learning_skill_name(learning, i));
        buffer_text(out, "\n");
    }
    buffer_print(out, "tasks_done: %" PRIu64 "\n", figures->tasks_done);
    if (figures->last_task && *figures->last_task)
        yaml_write_text(out, "last_task", figures->last_task);
    buffer_print(out, "negative_streak: %" PRIu64 "\n", figures->negative_streak);
    buffer_text(out, "budget:\n  day: ");
    yaml_write_scalar(out, figures->day ? figures->day : "");
    buffer_print(out, "\n  tokens_today: %" PRIu64 "\n  tokens_per_day: %" PRId64 "\n", figures->tokens_today,
                 agent->limits.tokens_per_day);
}
