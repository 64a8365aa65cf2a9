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
    AGAIN_DOUBLINGS = 3             /* so often */
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
 * is none, also while a new question is under way. */
static bool is_answered(const struct founding *founding, const struct lease *lease)
{
    return founding->answer != FOUNDING_UNKNOWN && founding->answers_of >= lease->quiet_since;
}

static bool lets_begin(const struct founding *founding)
{
    return founding->answer == FOUNDING_FREE || (founding->answer == FOUNDING_SILENT && founding->pinned);
}

bool founding_is_allowed(const struct founding *founding, const struct lease *lease)
{
    bool settled = lease->stage != LEASE_FREE || (lease->known && lease->revision != 0);
    return settled || !has_remote() || (is_answered(founding, lease) && lets_begin(founding));
}

/* The question went with the agentos-mirror that it was sent to. */
static bool is_due(const struct founding *founding, const struct lease *lease,
                   const struct mirror_link *mirror, int64_t now)
{
    unsigned doublings = founding->tries < AGAIN_DOUBLINGS ? founding->tries : AGAIN_DOUBLINGS;
    if (founding->asked)
        return founding->asked != mirror_link_process(mirror);
    return !is_answered(founding, lease) || now - founding->asked_at >= (int64_t)AGAIN_MS << doublings;
}

void founding_ask(struct founding *founding, const struct lease *lease, struct mirror_link *mirror,
                  const char *agent, mirror_looked *looked, void *context, int64_t now)
{
    bool is_time = lease->connected && is_open(lease) && now - lease->quiet_since >= ASK_MS;
    if (!is_time || founding_is_allowed(founding, lease) || !is_due(founding, lease, mirror, now))
        return;
    founding->asked_at = now;
    if (mirror)
        founding->asked = mirror_link_look(mirror, agent, looked, context);
    else
        founding_hear(founding, agent, MIRROR_SILENT, "agentos-mirror can't be started");
}

static void say(const struct founding *founding, const char *agent, const char *text)
{
    if (founding->answer == FOUNDING_HAS_BRANCH)
        log_warn(
            "agentos", agent,
            "The agent has no directory here and no lease on the bus, and is not begun anew: the git remote "
            "has its branch, at commit %.7s",
            text);
    else if (founding->answer == FOUNDING_SILENT && founding->pinned)
        log_warn(
            "agentos", agent,
            "The git remote can't be asked for the agent's branch: %s. The agent begins without an answer, "
            "since agents.yaml has it on this node",
            text);
    else if (founding->answer == FOUNDING_SILENT)
        log_warn("agentos", agent,
                 "The agent has no directory here and no lease on the bus, and is not begun before the git "
                 "remote can be asked for its branch: %s",
                 text);
}

/* A new answer is logged once, however often the remote is asked. */
void founding_hear(struct founding *founding, const char *agent, enum mirror_branch branch, const char *text)
{
    int answer = branch == MIRROR_NO_BRANCH    ? FOUNDING_FREE
                 : branch == MIRROR_HAS_BRANCH ? FOUNDING_HAS_BRANCH
                                               : FOUNDING_SILENT;
    bool same =
        founding->answer == (unsigned)answer && (branch != MIRROR_SILENT || strcmp(founding->why, text) == 0);
    founding->asked = 0;
    founding->answers_of = founding->asked_at;
    founding->answer = (unsigned)answer;
    founding->tries = branch == MIRROR_NO_BRANCH ? 0 : founding->tries + 1;
    memory_set(&founding->why, branch == MIRROR_SILENT ? text : NULL);
    if (!same)
        say(founding, agent, text);
}

static char *print_last_node(const struct lease *lease, const char *agent)
{
    if (strcmp(lease->seen.node, lease->node) != 0)
        return memory_print("its directory is on node '%s', which is away", lease->seen.node);
    return memory_print(
        "it lived on this node last, and its directory is not here: a node that has the directory "
        "starts it, `agentos move %s %s --from-remote` takes it from the git remote, and without its "
        "key (`nats kv del agentos lease.%s`) it begins anew",
        agent, lease->node, agent);
}

char *founding_why_not(const struct founding *founding, const struct lease *lease, const char *agent)
{
    if (lease->claim == LEASE_FOUNDS && lease->revision)
        return print_last_node(lease, agent);
    if (founding_is_allowed(founding, lease) || !is_open(lease))
        return NULL;
    if (!is_answered(founding, lease))
        return founding->asked_at < lease->quiet_since
                   ? NULL
                   : memory_text("the git remote is asked whether it has the agent's branch, and has not "
                                 "answered yet");
    if (founding->answer == FOUNDING_HAS_BRANCH)
        return memory_print(
            "it has no directory here and no lease on the bus, but the git remote has its branch: "
            "a node that has its directory starts it, and `agentos move %s %s --from-remote` "
            "takes it from the remote",
            agent, lease->node);
    return memory_print(
        "it has no directory here and no lease on the bus, and the git remote can't be asked "
        "whether it has the agent's branch (the agent begins within two minutes of the answer that it "
        "has none; where its repository is not there yet, make it): %s",
        founding->why);
}
