#include "supervisor/nodes/founding.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/nodes/lease.h"

enum {
    ASK_MS = LEASE_FOUND_MS - 4000, /* of quiet, until the remote is asked */
    AGAIN_MS = 15 * 1000,           /* between two questions, doubling, */
    AGAIN_DOUBLINGS = 3,            /* so often */
    LOST_MS = 150 * 1000            /* an answer that has not come by then was lost with agentos-mirror */
};

void founding_free(struct founding *founding)
{
    free(founding->why);
}

static bool has_remote(void)
{
    return setting_text(SET_AGENTOS_GIT_REMOTE, NULL) != NULL;
}

static bool is_open(const struct lease *lease)
{
    return lease->known && lease->revision == 0 && lease->stage == LEASE_FREE;
}

/* Since the key was seen to be missing, the agent may have begun elsewhere and its key may be lost again: an older answer
 * is none. */
static bool is_answered(const struct founding *founding, const struct lease *lease)
{
    return founding->answer != FOUNDING_UNKNOWN && founding->asked_at >= lease->quiet_since;
}

bool founding_is_allowed(const struct founding *founding, const struct lease *lease)
{
    bool settled = lease->stage != LEASE_FREE || (lease->known && lease->revision != 0);
    return settled || !has_remote() || (is_answered(founding, lease) && founding->answer == FOUNDING_FREE);
}

static bool is_due(const struct founding *founding, const struct lease *lease, int64_t now)
{
    unsigned doublings = founding->tries < AGAIN_DOUBLINGS ? founding->tries : AGAIN_DOUBLINGS;
    if (founding->asked)
        return now - founding->asked_at >= LOST_MS;
    return !is_answered(founding, lease) || now - founding->asked_at >= (int64_t)AGAIN_MS << doublings;
}

void founding_ask(struct founding *founding, const struct lease *lease, struct mirror_link *mirror,
                  const char *agent, mirror_looked *looked, void *context, int64_t now)
{
    bool is_time = lease->connected && is_open(lease) && now - lease->quiet_since >= ASK_MS;
    if (!is_time || !mirror || founding_is_allowed(founding, lease) || !is_due(founding, lease, now))
        return;
    founding->asked = true;
    founding->asked_at = now;
    mirror_link_look(mirror, agent, looked, context);
}

/* A new answer is logged once, however often the remote is asked. */
void founding_hear(struct founding *founding, const char *agent, enum mirror_branch branch, const char *text)
{
    int answer = branch == MIRROR_NO_BRANCH    ? FOUNDING_FREE
                 : branch == MIRROR_HAS_BRANCH ? FOUNDING_HAS_BRANCH
                                               : FOUNDING_SILENT;
    bool same =
        founding->answer == (unsigned)answer && (branch != MIRROR_SILENT || strcmp(founding->why, text) == 0);
    founding->asked = false;
    founding->answer = (unsigned)answer;
    founding->tries = branch == MIRROR_NO_BRANCH ? 0 : founding->tries + 1;
    memory_set(&founding->why, branch == MIRROR_SILENT ? text : NULL);
    if (same || branch == MIRROR_NO_BRANCH)
        return;
    if (branch == MIRROR_HAS_BRANCH)
        log_warn(
            "agentos", agent,
            "The agent has no directory here and no lease on the bus, and is not begun anew: the git remote "
            "has its branch, at commit %.7s",
            text);
    else
        log_warn("agentos", agent,
                 "The agent has no directory here and no lease on the bus, and is not begun before the git "
                 "remote can be asked for its branch: %s",
                 text);
}

char *founding_why_not(const struct founding *founding, const struct lease *lease, const char *agent)
{
    if (founding_is_allowed(founding, lease) || !is_open(lease) || !is_answered(founding, lease))
        return NULL;
    if (founding->answer == FOUNDING_HAS_BRANCH)
        return memory_print(
            "it has no directory here and no lease on the bus, but the git remote has its branch: "
            "a node that has its directory starts it, and `agentos move %s %s --from-remote` "
            "takes it from the remote",
            agent, lease->node);
    return memory_print("it has no directory here and no lease on the bus, and the git remote can't be asked "
                        "whether it has the agent's branch: %s",
                        founding->why);
}
