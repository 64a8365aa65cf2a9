#include "supervisor/nodes/nodes.h"

#include <inttypes.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/format/roster.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/founding.h"
#include "supervisor/nodes/lease.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/move.h"
#include "supervisor/nodes/presence.h"
#include "supervisor/nodes/tree_epoch.h"
#include "supervisor/process/loop.h"

#define LEASE_KEY "lease."

enum {
    TURN_MS = 500,
    LOOKED_MS = 2000, /* between two looks at the directory of an agent that doesn't run here */
    SLEPT_MS = 2000,  /* a longer pause between two turns of the loop: the leases come first */
    PLACES_MAX = 4 * ROSTER_AGENTS_MAX
};

/* An agent, of agents.yaml or of a key. */
struct place {
    char *agent; /* owned; first: places are found by it */
    struct nodes *nodes;
    struct lease lease;
    struct founding founding;
    uint64_t ticket; /* of the last put */
    int64_t looked_at;
    struct {
        char node[NAME_LENGTH_MAX + 1]; /* "": nobody knows the node, or the agent lives here */
        bool here, there, said;
    } lives; /* as the post office was told */
};

struct nodes {
    const struct local_node *local;
    nodes_lives *lives;
    bool wanted; /* AGENTOS_BUS is set */
    bool connected;
    bool told; /* every key of the bucket was */
    uint64_t run;
    struct presence *presence;
    struct move *move;
    void *by_name; /* tsearch: struct place */
    struct place **places;
    size_t count;
    struct timer timer;
    int64_t turned_at; /* clock_boot_ms: the loop, last */
};

/* --- places --- */

static struct place *find_place(const struct nodes *nodes, const char *agent)
{
    return names_find(&nodes->by_name, agent);
}

static struct agent *agent_of(const struct place *place)
{
    return agents_find(place->nodes->local->agents, place->agent);
}

static bool is_pinned_elsewhere(const struct roster_agent *definition)
{
    return *definition->node && strcmp(definition->node, node_name()) != 0;
}

static bool has_directory(const struct place *place)
{
    return tree_epoch_has_tree(place->nodes->local->data, place->agent);
}

static uint64_t read_epoch(const struct place *place)
{
    return tree_epoch_read(place->nodes->local->data, place->agent);
}

/* --- the agent's node --- */

static bool lives_elsewhere(const struct lease *lease)
{
    return lease->known && lease->revision && !lease->seen.released &&
           strcmp(lease->seen.node, lease->node) != 0;
}

/* Tells the post office each change. */
static void say_where(struct place *place, const struct agent *agent)
{
    struct nodes *nodes = place->nodes;
    const char *node = nodes_of(nodes, agent->name);
    bool fresh = lives_elsewhere(&place->lease) && clock_boot_ms() - place->lease.quiet_since < LEASE_MS;
    bool there = node && *node && (fresh || presence_is_there(nodes->presence, node));
    if (place->lives.said && place->lives.here == !node && place->lives.there == there &&
        strcmp(place->lives.node, node ? node : "") == 0)
        return;
    place->lives.said = true;
    place->lives.here = !node;
    place->lives.there = there;
    snprintf(place->lives.node, sizeof place->lives.node, "%s", node ? node : "");
    nodes->lives(agent, node ? place->lives.node : NULL, there);
}

/* --- the lease's operations --- */

static bool put_key(void *context, const struct lease_value *value, uint64_t revision)
{
    struct place *place = context;
    struct bus_link *bus = place->nodes->local->bus;
    OWNED char *key = memory_print(LEASE_KEY "%s", place->agent);
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:b}", "node", value->node, "run",
                               (json_int_t)value->run, "epoch", (json_int_t)value->epoch, "turn",
                               (json_int_t)value->turn, "released", (int)value->released);
    OWNED char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (place->lease.stage == LEASE_TAKING && place->lease.claim == LEASE_FOUNDS)
        tree_epoch_write(place->nodes->local->data, place->agent, value->epoch,
                         true); /* first: else nobody could go on where this node ends now */
    place->ticket = bus_link_ticket(bus);
    return bus_link_put(bus, key, text, revision, place->ticket);
}

static void may_start(void *context, uint64_t epoch)
{
    struct place *place = context;
    struct agent *agent = agent_of(place);
    if (!agent)
        return;
    log_info("agentos", place->agent, "The agent lives on this node ('%s') now, epoch %" PRIu64, node_name(),
             epoch);
    tree_epoch_write(place->nodes->local->data, place->agent, epoch, place->lease.claim == LEASE_FOUNDS);
    agent->order.epoch = epoch;
    say_where(place, agent); /* the post office first: the worker asks it */
    agent_live_here(agent, NULL, false);
}

static void must_stop(void *context, bool hard, const char *why)
{
    struct place *place = context;
    struct agent *agent = agent_of(place);
    if (!agent)
        return;
    log_event(hard ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "agentos", place->agent,
              "The agent does not run on this node any more: %s%s", why,
              hard ? "; its worker is killed" : "");
    agent_live_here(agent, why, hard);
    if (hard) /* nothing more is delivered here in this turn, nor expires */
        say_where(place, agent);
}

static const struct lease_operations operations = {.put = put_key, .start = may_start, .stop = must_stop};

static struct place *add_place(struct nodes *nodes, const char *agent)
{
    struct place *place = find_place(nodes, agent);
    if (place || nodes->count >= PLACES_MAX)
        return place;
    place = memory_new(1, sizeof *place);
    *place = (struct place){.agent = memory_text(agent), .nodes = nodes};
    lease_begin(&place->lease, &operations, place, node_name(), nodes->run, clock_boot_ms());
    lease_connected(&place->lease, nodes->connected, clock_boot_ms());
    if (nodes->told)
        lease_key(&place->lease, NULL, 0, clock_boot_ms());
    tsearch(place, &nodes->by_name, names_order);
    *MEMORY_ADD(nodes->places, nodes->count) = place;
    return place;
}

/* --- the problems of an agent that doesn't run here --- */

static char *why_not(const struct place *place, const struct agent *agent)
{
    const struct lease *lease = &place->lease;
    if (is_pinned_elsewhere(agent->definition))
        return memory_print("agents.yaml has it on node '%s'", agent->definition->node);
    if (!lease->connected || !lease->known)
        return memory_text(
            "the bus is away, and without it this node can't tell whether the agent lives elsewhere");
    if (lives_elsewhere(lease) && clock_boot_ms() - lease->quiet_since < LEASE_MS)
        return memory_print("it lives on node '%s'", lease->seen.node);
    if (lease_is_stale(lease))
        return memory_print("its directory here is older than the agent, which has lived on node '%s' since",
                            lease->seen.node);
    bool has_none = lease->claim == LEASE_NEVER || lease->claim == LEASE_FOUNDS; /* no directory */
    char *why = has_none ? founding_why_not(&place->founding, lease, place->agent) : NULL;
    return why ? why : memory_text("its lease is waited for");
}

static void say_why(struct place *place, struct agent *agent)
{
    OWNED char *why = why_not(place, agent);
    if (place->lease.stage != LEASE_FREE ||
        (agent->order.elsewhere && strcmp(agent->order.elsewhere, why) == 0))
        return;
    agent_live_here(agent, why, false);
}

/* --- turns --- */

static enum lease_claim claim_of(struct place *place, const struct agent *agent)
{
    if (!agent || agent->leaving || agent->agents->ending || is_pinned_elsewhere(agent->definition) ||
        move_fetches(place->nodes->move, place->agent))
        return LEASE_NEVER;
    if (move_has(place->nodes->move, place->agent))
        return LEASE_KEEPS;
    place->founding.pinned = *agent->definition->node;
    place->lease.begins = tree_epoch_begins(place->nodes->local->data, place->agent);
    if (!has_directory(place))
        return founding_is_allowed(&place->founding, &place->lease) ? LEASE_FOUNDS : LEASE_NEVER;
    return *agent->definition->node ? LEASE_PINNED : LEASE_HAS;
}

static void has_looked(void *context, const char *agent, enum mirror_branch branch, const char *text);

/* Before the agent is begun anew. */
static void ask_remote(struct place *place, const struct agent *agent, int64_t now)
{
    bool may_live_here = agent && !agent->leaving && !is_pinned_elsewhere(agent->definition);
    if (may_live_here && !move_fetches(place->nodes->move, place->agent) && !has_directory(place))
        founding_ask(&place->founding, &place->lease, place->nodes->local->mirror, place->agent, has_looked,
                     place->nodes, now);
}

/* The directory of an agent that lives here and has one isn't looked at again. */
static void look(struct place *place, int64_t now)
{
    const struct agent *agent = agent_of(place);
    bool is_free = place->lease.stage == LEASE_FREE;
    bool open = is_free || !agent || place->lease.claim == LEASE_FOUNDS;
    enum lease_claim claim = open ? claim_of(place, agent) : place->lease.claim;
    place->looked_at = now;
    if (is_free && claim == LEASE_FOUNDS && place->lease.begins && lives_elsewhere(&place->lease))
        tree_epoch_forget(place->nodes->local->data, place->agent); /* the other node was faster */
    else if (!is_free && place->lease.claim == LEASE_FOUNDS && claim > LEASE_FOUNDS)
        tree_epoch_write(place->nodes->local->data, place->agent, place->lease.epoch, false);
    lease_claim(&place->lease, claim, is_free && agent ? read_epoch(place) : place->lease.tree_epoch, now);
    if (is_free && claim == LEASE_NEVER)
        ask_remote(place, agent, now);
}

static void has_looked(void *context, const char *agent, enum mirror_branch branch, const char *text)
{
    struct place *place = find_place(context, agent);
    if (!place)
        return;
    founding_hear(&place->founding, agent, branch, text);
    look(place, clock_boot_ms());
}

static void turn_place(struct place *place, int64_t now)
{
    struct agent *agent = agent_of(place);
    lease_turn(&place->lease, now);
    if (now - place->looked_at >= LOOKED_MS)
        look(place, now);
    if (place->lease.stage == LEASE_ENDING && (!agent || !life_has_process(&agent->life)))
        lease_down(&place->lease, now);
    if (agent) {
        say_why(place, agent);
        say_where(place, agent);
    }
}

static void turn(void *context)
{
    struct nodes *nodes = context;
    for (size_t i = 0; i < nodes->count; i++)
        turn_place(nodes->places[i], clock_boot_ms());
    presence_turn(nodes->presence, clock_boot_ms());
    move_turn(nodes->move);
    timer_set(nodes->local->loop, &nodes->timer, TURN_MS);
}

/* A node that slept may have lost its leases: its workers end before any message is heard. */
static void begin_turn(void *context)
{
    struct nodes *nodes = context;
    int64_t now = clock_boot_ms();
    if (now - nodes->turned_at >= SLEPT_MS)
        for (size_t i = 0; i < nodes->count; i++)
            lease_turn(&nodes->places[i]->lease, now);
    nodes->turned_at = now;
}

/* --- the bus --- */

static void on_state(void *context, bool connected, const char *why)
{
    struct nodes *nodes = context;
    (void)why;
    nodes->connected = connected;
    nodes->told = false;
    for (size_t i = 0; i < nodes->count; i++)
        lease_connected(&nodes->places[i]->lease, connected, clock_boot_ms());
    move_bus_state(nodes->move, connected);
}

static void on_published(void *context, uint64_t ticket, const char *why)
{
    struct nodes *nodes = context;
    move_published(nodes->move, ticket, why);
}

static bool on_arrived(void *context, uint64_t token, const char *subject, const char *node,
                       const void *bytes, size_t length)
{
    struct nodes *nodes = context;
    return move_arrived(nodes->move, token, subject, node, bytes, length);
}

static bool read_value(const char *text, struct lease_value *value)
{
    json_t *object = json_loads(text, 0, NULL);
    const char *node = json_string_value(json_object_get(object, "node"));
    bool good = node && names_node(node);
    if (good) {
        *value = (struct lease_value){
            .run = (uint64_t)json_integer_value(json_object_get(object, "run")),
            .epoch = (uint64_t)json_integer_value(json_object_get(object, "epoch")) & INT64_MAX,
            .turn = (uint64_t)json_integer_value(json_object_get(object, "turn")),
            .released = json_is_true(json_object_get(object, "released"))};
        snprintf(value->node, sizeof value->node, "%s", node);
    }
    json_decref(object);
    return good;
}

static void all_told(struct nodes *nodes)
{
    nodes->told = true;
    for (size_t i = 0; i < nodes->count; i++)
        if (!nodes->places[i]->lease.known)
            lease_key(&nodes->places[i]->lease, NULL, 0, clock_boot_ms());
}

static void on_key(void *context, const char *key, const char *text, uint64_t revision)
{
    struct nodes *nodes = context;
    struct lease_value value;
    if (!key) {
        all_told(nodes);
        return;
    }
    if (presence_key(nodes->presence, key, text, nodes->told))
        return;
    if (strncmp(key, LEASE_KEY, strlen(LEASE_KEY)) != 0 || !names_agent(key + strlen(LEASE_KEY)))
        return;
    struct place *place = add_place(nodes, key + strlen(LEASE_KEY));
    bool good = text && read_value(text, &value);
    if (text && !good)
        log_warn("agentos", key + strlen(LEASE_KEY), "The key %s of the bus is no lease: %s", key, text);
    if (place && (good || !text))
        lease_key(&place->lease, good ? &value : NULL, revision, clock_boot_ms());
}

static void on_kept(void *context, uint64_t ticket, uint64_t revision, const char *why)
{
    struct nodes *nodes = context;
    for (size_t i = 0; i < nodes->count; i++)
        if (nodes->places[i]->ticket == ticket) {
            nodes->places[i]->ticket = 0;
            lease_kept(&nodes->places[i]->lease, revision, strcmp(why, BUS_OTHER_REVISION) == 0,
                       clock_boot_ms());
            return;
        }
}

/* --- --- */

static void claim_again(void *context, const char *agent)
{
    struct nodes *nodes = context;
    struct place *place = find_place(nodes, agent);
    const struct agent *here = place ? agent_of(place) : NULL;
    if (!place)
        return;
    bool gone = !has_directory(place) && place->lease.stage != LEASE_FREE; /* the agent was moved */
    lease_claim(&place->lease, gone ? LEASE_NEVER : claim_of(place, here),
                place->lease.stage == LEASE_FREE ? read_epoch(place) : place->lease.tree_epoch,
                clock_boot_ms());
}

static bool holds(void *context, const char *agent)
{
    const struct place *place = find_place(context, agent);
    return place && lease_is_held(&place->lease, clock_boot_ms());
}

struct nodes *nodes_open(const struct local_node *local, nodes_lives *lives, const struct queues *queues)
{
    struct nodes *nodes = memory_new(1, sizeof *nodes);
    nodes->local = local;
    nodes->lives = lives;
    nodes->wanted = setting_text(SET_AGENTOS_BUS, NULL) != NULL;
    nodes->run = ((uint64_t)arc4random() << 16 | arc4random_uniform(1 << 16)) + 1;
    nodes->presence = presence_new(local, queues);
    nodes->move =
        move_new(local, &(struct move_owner){.claim = claim_again, .holds = holds, .context = nodes});
    nodes->timer = (struct timer){.ring = turn, .context = nodes};
    return nodes;
}

static void leave_alone(void *place)
{
    (void)place;
}

void nodes_close(struct nodes *nodes)
{
    if (!nodes)
        return;
    timer_clear(nodes->local->loop, &nodes->timer);
    loop_begin_turns_with(nodes->local->loop, NULL, NULL);
    tdestroy(nodes->by_name, leave_alone);
    for (size_t i = 0; i < nodes->count; i++) {
        founding_free(&nodes->places[i]->founding);
        free(nodes->places[i]->agent);
        free(nodes->places[i]);
    }
    free(nodes->places);
    presence_free(nodes->presence);
    move_free(nodes->move);
    free(nodes);
}

void nodes_begin(struct nodes *nodes)
{
    if (!nodes->wanted)
        return;
    nodes->turned_at = clock_boot_ms();
    loop_begin_turns_with(nodes->local->loop, begin_turn, nodes);
    timer_set(nodes->local->loop, &nodes->timer, TURN_MS);
    if (nodes->local->bus)
        bus_link_join(nodes->local->bus, &(struct bus_owner){.state = on_state,
                                                             .published = on_published,
                                                             .arrived = on_arrived,
                                                             .key = on_key,
                                                             .kept = on_kept,
                                                             .context = nodes});
}

void nodes_agent(struct nodes *nodes, struct agent *agent)
{
    struct place *place = nodes->wanted ? add_place(nodes, agent->name) : NULL;
    if (place) {
        bool is_free = place->lease.stage == LEASE_FREE;
        lease_claim(&place->lease, claim_of(place, agent),
                    is_free ? read_epoch(place) : place->lease.tree_epoch, clock_boot_ms());
        say_why(place, agent);
        place->lives.said = false;
        say_where(place, agent);
        return;
    }
    OWNED char *why = is_pinned_elsewhere(agent->definition)
                          ? memory_print("agents.yaml has it on node '%s'", agent->definition->node)
                          : NULL;
    agent_live_here(agent, why, false);
    nodes->lives(agent, why ? agent->definition->node : NULL, true);
}

void nodes_commits_are_of(struct nodes *nodes, const struct agent *agent, uint64_t epoch)
{
    struct place *place = find_place(nodes, agent->name);
    if (place && epoch > place->lease.epoch)
        lease_epoch(&place->lease, epoch, clock_boot_ms());
}

void nodes_agent_down(struct nodes *nodes, const struct agent *agent)
{
    struct place *place = find_place(nodes, agent->name);
    if (!place)
        return;
    if (agent->leaving || agent->agents->ending)
        lease_claim(&place->lease, LEASE_NEVER, place->lease.tree_epoch, clock_boot_ms());
    if (place->lease.stage == LEASE_ENDING)
        lease_down(&place->lease, clock_boot_ms());
}

const char *nodes_of(struct nodes *nodes, const char *agent)
{
    const struct place *place = find_place(nodes, agent);
    const struct agent *here = agents_find(nodes->local->agents, agent);
    if (place ? place->lease.runs && !place->lease.hard : here && !here->order.elsewhere)
        return NULL;
    if (here && is_pinned_elsewhere(here->definition))
        return here->definition->node;
    return place && lives_elsewhere(&place->lease) ? place->lease.seen.node : "";
}

bool nodes_answers(const struct nodes *nodes, const char *agent)
{
    const struct place *place = find_place(nodes, agent);
    return nodes->connected && place && place->lives.said && !place->lives.here && place->lives.there;
}

void nodes_count(const struct nodes *nodes, const char *queue, size_t *waiting, size_t *under_way)
{
    presence_count(nodes->presence, queue, waiting, under_way);
}

void nodes_each(const struct nodes *nodes, void (*visit)(void *context, const char *node, bool there),
                void *context)
{
    presence_each(nodes->presence, visit, context);
}

bool nodes_are_there(const struct nodes *nodes, const char *node)
{
    return nodes->connected && presence_is_there(nodes->presence, node);
}

bool nodes_own(const struct nodes *nodes, const char *agent)
{
    const struct place *place = find_place(nodes, agent);
    return !place || lease_lasts(&place->lease, clock_boot_ms());
}

void nodes_problem(const struct nodes *nodes, const char *name, struct buffer *lines)
{
    const struct agent *agent = agents_find(nodes->local->agents, name);
    const struct place *place = find_place(nodes, name);
    if (agent && !place && is_pinned_elsewhere(agent->definition))
        buffer_print(lines,
                     "agents.yaml has it on node '%s'; this is node '%s', and it has no AGENTOS_BUS to reach "
                     "others by\n",
                     agent->definition->node, node_name());
    if (!agent || !agent->order.elsewhere || !place || place->lease.stage != LEASE_FREE)
        return;
    bool quiet = place->lease.known && clock_boot_ms() - place->lease.quiet_since >= 2 * LEASE_MS;
    if (!place->lease.connected || quiet)
        buffer_print(lines, "it does not run: %s\n", agent->order.elsewhere);
}

const json_t *nodes_far_agent(struct nodes *nodes, const char *agent)
{
    const char *node = nodes_of(nodes, agent);
    return node && *node && nodes_are_there(nodes, node) ? presence_agent(nodes->presence, node, agent)
                                                         : NULL;
}

const struct lease *nodes_lease(const struct nodes *nodes, const char *agent)
{
    const struct place *place = find_place(nodes, agent);
    return place ? &place->lease : NULL;
}

const json_t *nodes_told(const struct nodes *nodes, const char *node, const char *agent)
{
    return presence_agent(nodes->presence, node, agent);
}

void nodes_own_problems(const struct nodes *nodes, struct buffer *lines)
{
    presence_problems(nodes->presence, lines);
}

int nodes_move(struct nodes *nodes, struct agent *agent, const char *node, struct fault *fault)
{
    if (!nodes->wanted)
        fault_set(fault, "AGENTOS_BUS is not set, so there is no other node to move an agent to");
    else if (*agent->definition->node)
        fault_set(fault, "agents.yaml has agent '%s' on node '%s'; an agent without `node` is moved",
                  agent->name, agent->definition->node);
    else if (!presence_is_known(nodes->presence, node)) {
        const char *near = presence_nearest(nodes->presence, node);
        fault_set(fault, "no node '%s' is known on the bus%s%s%s", node, near ? "; did you mean '" : "",
                  near ? near : "", near ? "'?" : "");
        return EX_NOINPUT;
    } else if (!presence_is_there(nodes->presence, node)) {
        fault_set(fault, "node '%s' is away", node);
        return EX_TEMPFAIL;
    } else if (!holds(nodes, agent->name)) {
        fault_set(fault, "agent '%s' does not live on this node: %s", agent->name,
                  agent->order.elsewhere ? agent->order.elsewhere : "its lease is not here");
        return EX_TEMPFAIL;
    } else {
        return move_begin(nodes->move, agent, node, fault);
    }
    return EX_CONFIG;
}

struct move *nodes_moves(struct nodes *nodes)
{
    return nodes->move;
}
