#include "supervisor/nodes/mirror_link.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/format/git_remote.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/settings.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/child.h"

enum { TEXT_MAX = 2048, PUSH_DONE = 0, PUSH_DIVERGED = 2, PUSH_NO_BRANCH = 3 };

/* An agent whose last push failed. */
struct failing {
    char *agent; /* owned; first: the tree finds agents by it */
    char *why;   /* owned */
    bool diverged;
};

struct mirror_link {
    const struct local_node *local;
    struct child child;
    unsigned process; /* mirror_link_process */
    void *failing;    /* tsearch: struct failing by agent */
    struct {
        mirror_fetched *done; /* NULL: nothing is fetched */
        void *context;
        char *agent; /* owned */
    } fetch;
    mirror_looked *looked; /* NULL: nobody asks */
    void *looked_context;
};

static void free_failing(void *failing)
{
    struct failing *gone = failing;
    free(gone->agent);
    free(gone->why);
    free(gone);
}

static void is_pushed(struct mirror_link *link, const char *agent)
{
    struct failing *was = names_find(&link->failing, agent);
    if (!was)
        return;
    tdelete(was, &link->failing, names_order);
    free_failing(was);
    log_info("mirror", agent, "The agent's branch is at the remote again");
}

/* A new fault is logged: a remote that is down for a day is one line. */
static void is_not_pushed(struct mirror_link *link, const char *agent, bool diverged, char *why)
{
    struct failing *was = names_find(&link->failing, agent);
    if (was && strcmp(was->why, why) == 0) {
        free(why);
        return;
    }
    if (!was) {
        was = memory_new(1, sizeof *was);
        was->agent = memory_text(agent);
        tsearch(was, &link->failing, names_order);
    }
    free(was->why);
    was->why = why;
    was->diverged = diverged;
    OWNED char *url = git_remote_of(setting_text(SET_AGENTOS_GIT_REMOTE, NULL), agent);
    log_warn("mirror", agent, "The agent's branch is not pushed to %s: %s. The push is tried again", url,
             why);
}

static void end_fetch(struct mirror_link *link, const char *why, const char *commit)
{
    mirror_fetched *done = link->fetch.done;
    link->fetch.done = NULL;
    if (done)
        done(link->fetch.context, why, commit);
}

static void has_looked(const struct mirror_link *link, const char *agent, uint64_t end, const char *text)
{
    if (link->looked)
        link->looked(link->looked_context, agent,
                     end == PUSH_DONE        ? MIRROR_HAS_BRANCH
                     : end == PUSH_NO_BRANCH ? MIRROR_NO_BRANCH
                                             : MIRROR_SILENT,
                     text);
}

static bool hear(void *context, const void *bytes, size_t length)
{
    struct mirror_link *link = context;
    struct reader reader;
    unsigned type = 0;
    uint64_t end;
    OWNED char *agent = NULL;
    char *text = NULL;
    if (!message_receive(&reader, bytes, length, PARTY_MIRROR, PARTY_SUPERVISOR, &type) ||
        (type != MESSAGE_PUSHED && type != MESSAGE_FETCHED && type != MESSAGE_LOOKED) ||
        !message_read(&reader, type, &agent, &end, &text))
        return false;
    bool known = agents_find(link->local->agents, agent) && strlen(text) <= TEXT_MAX;
    if (known && type == MESSAGE_PUSHED && end != PUSH_DONE) {
        is_not_pushed(link, agent, end == PUSH_DIVERGED, text);
        return true;
    }
    if (known && type == MESSAGE_PUSHED)
        is_pushed(link, agent);
    else if (type == MESSAGE_LOOKED)
        has_looked(link, agent, end, strlen(text) <= TEXT_MAX ? text : "it says too much");
    else if (type == MESSAGE_FETCHED && link->fetch.done && strcmp(agent, link->fetch.agent) == 0)
        end_fetch(link,
                  !known             ? "it was taken out of agents.yaml meanwhile"
                  : end == PUSH_DONE ? NULL
                                     : text,
                  known && end == PUSH_DONE ? text : "");
    free(text);
    return true;
}

/* The branch of an agent that lives elsewhere is that node's to push. */
static bool lives_here(const struct mirror_link *link, const char *name)
{
    const struct agent *agent = link ? agents_find(link->local->agents, name) : NULL;
    return agent && !agent->order.elsewhere;
}

/* A new process knows no branch: every branch may be ahead of the remote. */
static void started(void *context)
{
    struct mirror_link *link = context;
    link->process++;
    end_fetch(link, "agentos-mirror ended meanwhile", "");
    for (size_t i = 0; i < link->local->agents->count; i++)
        mirror_link_note(link, link->local->agents->list[i]->name);
}

struct mirror_link *mirror_link_open(const struct local_node *local)
{
    static char *arguments[] = {"agentos-mirror", "3", "4", NULL};
    if (!setting_text(SET_AGENTOS_GIT_REMOTE, NULL))
        return NULL;
    struct mirror_link *link = memory_new(1, sizeof *link);
    link->local = local;
    if (child_begin(&link->child, local->loop,
                    &(struct child_plan){.name = "mirror",
                                         .component = "mirror",
                                         .folder = local->programs,
                                         .arguments = arguments,
                                         .environment = environ,
                                         .extras = {local->data, -1},
                                         .message = hear,
                                         .started = started,
                                         .context = link}))
        return link;
    log_error("mirror", NULL, "No branch is pushed to AGENTOS_GIT_REMOTE: %s can't be started", arguments[0]);
    free(link);
    return NULL;
}

void mirror_link_close(struct mirror_link *link)
{
    if (!link)
        return;
    child_end(&link->child, 0);
    tdestroy(link->failing, free_failing);
    free(link->fetch.agent);
    free(link);
}

void mirror_link_note(struct mirror_link *link, const char *agent)
{
    if (lives_here(link, agent))
        child_say(&link->child, MESSAGE_PUSH, agent);
}

void mirror_link_problem(struct mirror_link *link, const char *agent, struct buffer *lines)
{
    const struct failing *failing = lives_here(link, agent) ? names_find(&link->failing, agent) : NULL;
    if (failing)
        buffer_print(lines, "its branch is not at the git remote: %s\n", failing->why);
}

bool mirror_link_diverged(struct mirror_link *link, const char *agent)
{
    const struct failing *failing = lives_here(link, agent) ? names_find(&link->failing, agent) : NULL;
    return failing && failing->diverged;
}

void mirror_link_fetch(struct mirror_link *link, const char *agent, const char *bundle, mirror_fetched *done,
                       void *context)
{
    memory_set(&link->fetch.agent, agent);
    link->fetch.done = done;
    link->fetch.context = context;
    child_say(&link->child, MESSAGE_FETCH, agent, bundle);
}

unsigned mirror_link_look(struct mirror_link *link, const char *agent, mirror_looked *looked, void *context)
{
    link->looked = looked;
    link->looked_context = context;
    return child_say(&link->child, MESSAGE_LOOK_THERE, agent) ? link->process : 0;
}

unsigned mirror_link_process(const struct mirror_link *link)
{
    return link ? link->process : 0;
}
