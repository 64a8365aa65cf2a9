#include "worker/reply/keys.h"

#include <stddef.h>

const char *const report_keys[] = {
    [KEY_REWARD] = "reward|rewards",     [KEY_REASON] = "reason|reasons|rationale",
    [KEY_SKILL] = "skill|skills",        [KEY_REFLECTION] = "reflection|reflections",
    [KEY_GOALS] = "goals|goal",          [KEY_HANDOFFS] = "handoffs|handoff|hand_offs|hand_off",
    [KEY_MESSAGES] = "messages|message", [KEY_ENQUEUE] = "enqueue|enqueues|queue|queues",
    [KEY_SEGMENTS] = "segments|segment", [KEY_ANSWER] = "answer|final_answer|response",
    [KEY_AGENTOS] = "agentos",           NULL,
};
