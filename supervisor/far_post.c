#include "supervisor/far_post.h"

#include <jansson.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/far_reads.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/word.h"
#include "supervisor/post/post.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"

#define AGENT_SUBJECT "agentos.agent."

static void send(struct supervisor *supervisor, const char *subject, const char *message,
                 const struct buffer *text)
{
    struct bus_link *link = supervisor->local.bus;
    (void)bus_link_publish(link, subject, message, text->data, text->length, bus_link_ticket(link));
}

/* --- the post office's messages; each may be lost, which the post office knows --- */

static void publish(void *context, const char *agent, const char *message, const struct buffer *text)
{
    OWNED char *subject = memory_print(AGENT_SUBJECT "%s", agent);
    send(context, subject, message, text);
}

static void tell(void *context, const char *node, const struct buffer *text)
{
    OWNED char *subject = memory_print(NODE_SUBJECT "%s", node), *message = names_new_id();
    send(context, subject, message, text);
}

static void took(void *context, uint64_t token)
{
    const struct supervisor *supervisor = context;
    bus_link_took(supervisor->local.bus, token);
}

static void later(void *context, uint64_t token, int64_t ms)
{
    const struct supervisor *supervisor = context;
    bus_link_later(supervisor->local.bus, token, ms);
}

static bool owns(void *context, const char *agent)
{
    const struct supervisor *supervisor = context;
    return nodes_own(supervisor->local.nodes, agent);
}

/* --- the bus's news --- */

static void state(void *context, bool connected, const char *why)
{
    const struct supervisor *supervisor = context;
    (void)why;
    post_bus_connected(supervisor->post, connected);
    if (connected)
        shared_state_asks_nodes(supervisor->shared);
}

static bool arrived(void *context, uint64_t token, const char *subject, const char *node, const void *bytes,
                    size_t length)
{
    const struct supervisor *supervisor = context;
    if (strncmp(subject, AGENT_SUBJECT, strlen(AGENT_SUBJECT)) == 0) {
        post_arrived(supervisor->post, token, node, bytes, length);
        return true;
    }
    if (strncmp(subject, NODE_SUBJECT, strlen(NODE_SUBJECT)) != 0)
        return false;
    json_auto_t *word = json_loadb(bytes, length, 0, NULL);
    if (word ? !shared_state_hear(supervisor->shared, node, word) &&
                   !far_reads_hear(supervisor->programs.reads, node, word)
             : !post_node_says(supervisor->post, bytes, length))
        return false;
    bus_link_took(supervisor->local.bus, token);
    return true;
}

static void published(void *context, uint64_t ticket, const char *why)
{
    const struct supervisor *supervisor = context;
    shared_state_published(supervisor->shared, ticket, why);
}

void far_post_open(struct supervisor *supervisor)
{
    struct bus_link *link = supervisor->local.bus;
    OWNED char *subject = memory_print(NODE_SUBJECT "%s", node_name());
    if (!link)
        return;
    post_bus(supervisor->post, &(struct post_bus){.publish = publish,
                                                  .tell = tell,
                                                  .took = took,
                                                  .later = later,
                                                  .owns = owns,
                                                  .context = supervisor});
    bus_link_join(link,
                  &(struct bus_owner){
                      .state = state, .published = published, .arrived = arrived, .context = supervisor});
    shared_state_begin(supervisor->shared);
    bus_link_follow(link, subject, true);
}

void far_post_lives(const struct agent *agent, const char *node, bool there)
{
    const struct supervisor *supervisor = supervisor_of(agent);
    OWNED char *subject = memory_print(AGENT_SUBJECT "%s", agent->name);
    post_lives(supervisor->post, agent->name, node, there);
    bus_link_follow(supervisor->local.bus, subject, node == NULL);
    shared_state_agent_moved(supervisor->shared, agent->name);
}
