/* Operations of work queues (supervisor/shared/work_queues.h) for worlds in which all may send to all, and nothing lies in a
 * consumer's folders. */
#ifndef AGENTOS_TESTS_UNIT_QUEUE_STUBS_H
#define AGENTOS_TESTS_UNIT_QUEUE_STUBS_H

#include "supervisor/shared/work_queues.h"

static inline const struct text_list *to_everybody(void *context, const char *sender)
{
    (void)context, (void)sender;
    return NULL;
}

static inline unsigned lies_nowhere(void *context, const char *agent, const char *id)
{
    (void)context, (void)agent, (void)id;
    return 0;
}

static inline bool no_ids(void *context, const char *agent, void (*see)(void *seer, const char *id),
                          void *seer)
{
    (void)context, (void)agent, (void)see, (void)seer;
    return true;
}

/* For an expiry that nobody waits for. */
static inline void nothing(void *context)
{
    (void)context;
}

#endif
