#include "worker/reply/example.h"

#include <stddef.h>
#include <string.h>

#include "common/format/reply_example.h"

static const char *const texts[] = {
    EXAMPLE_REASON,
    EXAMPLE_SKILL,
    EXAMPLE_DESCRIPTION,
    EXAMPLE_BODY,
    EXAMPLE_REFLECTION,
    EXAMPLE_GOAL,
    EXAMPLE_GOAL_DONE,
    EXAMPLE_AGENT,
    EXAMPLE_TASK,
    EXAMPLE_MESSAGE,
    EXAMPLE_QUEUE,
    EXAMPLE_ITEM,
    EXAMPLE_SEGMENT,
    EXAMPLE_SHARED,
    EXAMPLE_VERSION,
    "one line that says why",
    "When and why to use it.",
    "Steps, code and pitfalls, in Markdown.",
    "one line about what to do differently",
    "what failures show is missing",
    "the text of a goal that is reached",
    "work for another agent",
    "what another agent should know",
    "work for whoever has room",
    "the whole new text",
};

bool example_is(const char *text)
{
    for (size_t i = 0; text && i < sizeof texts / sizeof *texts; i++) {
        size_t length = strlen(texts[i]);
        const char *behind = text + length;
        if (strncmp(text, texts[i], length) == 0 && behind[strspn(behind, " .")] == '\0')
            return true;
    }
    return false;
}
