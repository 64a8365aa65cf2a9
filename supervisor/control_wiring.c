#include "supervisor/control_wiring.h"

#include <jansson.h>
#include <sysexits.h>

#include "supervisor/control/control.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/far_reads.h"
#include "supervisor/nodes/from_remote.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/move.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/notify/alerts.h"
#include "supervisor/process/ownership.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"

static void shared_problems(void *context, const char *agent, struct buffer *lines)
{
    struct supervisor *supervisor = context;
    shared_state_problems(supervisor->shared, agent, lines);
    mirror_link_problem(supervisor->local.mirror, agent, lines);
    nodes_problem(supervisor->local.nodes, agent, lines);
}

static void own_problems(void *context, struct buffer *lines)
{
    const struct supervisor *supervisor = context;
    const struct agents *agents = &supervisor->agents;
    if (supervisor->run.said && agents->found.settled < agents->count)
        buffer_print(lines, "%zu of %zu agent(s) have started; the others wait for their first start\n",
                     agents->found.settled, agents->count);
    alerts_problems(supervisor->alerts.queue, lines);
    shared_state_own_problems(supervisor->shared, lines);
    bus_link_problem(supervisor->local.bus, lines);
    nodes_own_problems(supervisor->local.nodes, lines);
}

static size_t alerts_waiting(void *context)
{
    const struct supervisor *supervisor = context;
    return alerts_pending(supervisor->alerts.queue);
}

static const char *config_fault(void *context)
{
    const struct supervisor *supervisor = context;
    return supervisor->roster_file.fault;
}

static bool reload_for_client(void *context, struct buffer *said)
{
    return supervisor_reload(context, said);
}

static void retry_now(void *context, struct agent *agent)
{
    supervisor_retry(context, agent);
}

static json_t *far_agent(void *context, const char *agent)
{
    const struct supervisor *supervisor = context;
    const char *node = nodes_of(supervisor->local.nodes, agent);
    json_t *far = node && *node ? json_pack("{s:s}", "node", node) : NULL;
    json_t *told = (json_t *)nodes_far_agent(supervisor->local.nodes, agent);
    if (far && told)
        json_object_update_missing(far, told);
    return far;
}

static int move_agent(void *context, struct agent *agent, const char *node, const char **stage,
                      struct fault *fault)
{
    const struct supervisor *supervisor = context;
    struct nodes *nodes = supervisor->local.nodes;
    int exit = node ? nodes_move(nodes, agent, node, fault) : EX_OK;
    *stage = exit == EX_OK ? move_stage(nodes_moves(nodes), agent->name, fault) : NULL;
    return *stage ? EX_OK : exit ? exit : EX_UNAVAILABLE;
}

static int take_from_remote(void *context, struct agent *agent, const char *node, bool begin,
                            struct buffer *lacks, struct fault *fault)
{
    const struct supervisor *supervisor = context;
    return from_remote_move(&supervisor->local, agent, node, begin, lacks, fault);
}

static json_t *ask_nodes(void *context, const json_t *request, uint64_t ticket)
{
    const struct supervisor *supervisor = context;
    return far_reads_ask(supervisor->programs.reads, request, ticket);
}

void control_wiring_told(void *context, uint64_t ticket, json_t *answer)
{
    const struct supervisor *supervisor = context;
    control_told(supervisor->control, ticket, answer);
}

struct control *control_wiring_open(struct supervisor *supervisor, struct fault *fault)
{
    return control_open(&(struct control_owner){.loop = supervisor->loop,
                                                .agents = &supervisor->agents,
                                                .post = supervisor->post,
                                                .queues = shared_state_queues(supervisor->shared),
                                                .budget = supervisor->budget,
                                                .roster = &supervisor->roster,
                                                .data = supervisor->data,
                                                .started_at = supervisor->run.started_at,
                                                .problems = shared_problems,
                                                .config_fault = config_fault,
                                                .own_problems = own_problems,
                                                .alerts_pending = alerts_waiting,
                                                .reload = reload_for_client,
                                                .far_agent = far_agent,
                                                .ask_nodes = ask_nodes,
                                                .move = move_agent,
                                                .from_remote = take_from_remote,
                                                .retry = retry_now,
                                                .context = supervisor},
                        supervisor->ownership->run, fault);
}
