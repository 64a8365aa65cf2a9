/* Why an agent does no work, for the senders that would give it some. */
#include "supervisor/agent/agent.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"

void agent_absence_changed(struct agent *agent)
{
    enum life_state state = agent->life.state;
    if ((life_is_up(&agent->life) && state != STATE_PAUSED) || state == STATE_HIBERNATING)
        agent->past.down_since = 0;
    else if (agent->past.down_since == 0)
        agent->past.down_since = clock_now();
}

const char *agent_absence(const struct agent *agent, int64_t *since)
{
    const struct life *life = &agent->life;
    bool failing = life->state == STATE_FAILED || life->state == STATE_BACKOFF ||
                   (life->state == STATE_STARTING && life->failures > 0);
    bool stopped = life->state == STATE_STOPPED || (life->state == STATE_STOPPING && !life->again);
    int64_t ordered = agent->order.desired.since;
    *since = (stopped || life->paused) && ordered ? ordered : agent->past.down_since;
    if (stopped || life->paused)
        return stopped ? "stopped" : "paused";
    return !failing ? NULL : life->state == STATE_FAILED ? "failed" : "ending again and again";
}

static void tell(const struct agent *agent, const char *event, const char *problem)
{
    agent->agents->callbacks->event(agent, event,
                                    (const struct detail[]){DETAIL_TEXT("problem", problem), {.key = NULL}});
}

void agent_trouble(struct agent *agent, const char *trouble)
{
    bool same = agent->trouble && trouble && strcmp(agent->trouble, trouble) == 0;
    if (agent->trouble && !same)
        tell(agent, "problem_cleared", agent->trouble);
    if (trouble && !same)
        tell(agent, "problem", trouble);
    char *copy = memory_text(trouble);
    free(agent->trouble);
    agent->trouble = copy;
}
