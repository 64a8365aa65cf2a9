/* An agent is moved between two nodes, and one of them is killed, or its line to the bus is cut, at each step of it:
 * before each message to the bus or key, each process and each rename that the supervisor makes. Whatever state is
 * left, and whether the node or its line comes back at once or later, in the end the agent runs on one node with all
 * that its worker ever did, and can be moved again; at no moment does it run on two. */
#include "common/test_clock.h"
#include "move_world.h"

/* --- a node's life --- */

static void lives(const struct agent *agent, const char *node, bool there)
{
}

/* Messages that the node was told before, and has not acknowledged, come again. */
static void join(struct node *node)
{
    for (size_t i = 0; i < sent_count; i++)
        stream[i].out = stream[i].out && stream[i].to != (size_t)(node - nodes);
    node->answer_count = 0;
    node->cut = false;
    node->bus.state(node->bus.context, true, "");
    if (bucket.text)
        node->bus.key(node->bus.context, "lease." AGENT, bucket.text, bucket.revision);
    node->bus.key(node->bus.context, NULL, NULL, 0);
}

static void begin_node(struct node *node)
{
    enter(node);
    node->dead = false;
    node->answer_count = 0;
    node->agent = (struct agent){.agents = &node->agents,
                                 .definition = &node->definition,
                                 .name = AGENT,
                                 .life = {.state = STATE_STOPPED}};
    node->list[0] = &node->agent;
    node->agents = (struct agents){.list = node->list, .count = 1};
    node->local = (struct local_node){.data = open(node->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                      .data_dir = node->path,
                                      .programs = "/nowhere",
                                      .agents = &node->agents,
                                      .bus = (struct bus_link *)node};
    node->local.nodes = nodes_open(&node->local, lives, NULL);
    nodes_begin(node->local.nodes);
    nodes_agent(node->local.nodes, &node->agent);
    join(node);
}

/* The node's worker, and an export or import that it began, end with it. */
static void end_node(struct node *node)
{
    enter(node);
    node->dead = true;
    node->runs = node->drains = false;
    free(node->process.verb);
    free(node->process.file);
    node->process.verb = node->process.file = NULL;
    nodes_close(node->local.nodes);
    free(node->agent.order.elsewhere);
    close(node->local.data);
}

static int run_process(struct node *node, bool export)
{
    unsigned lines = lines_of(node);
    struct stat status;
    if (export) {
        OWNED char *text = memory_new(PAD + lines, 1);
        int fd = open(node->process.file, O_WRONLY | O_CREAT | O_EXCL, 0644);
        assert_true(fd >= 0 && files_write_all(fd, text, PAD + lines));
        return close(fd);
    }
    assert_int_equal(stat(node->process.file, &status), 0);
    assert_true(status.st_size >= PAD && lines == UINT32_MAX);
    put_agent(node, (unsigned)status.st_size - PAD);
    return 0;
}

static void end_process(struct node *node)
{
    bool export = strcmp(node->process.verb, "export") == 0;
    int status = run_process(node, export);
    free(node->process.verb);
    free(node->process.file);
    node->process.verb = node->process.file = NULL;
    if (step())
        move_reap(nodes_moves(node->local.nodes), 1000, status);
}

static void live(struct node *node)
{
    enter(node);
    hear(node);
    if (!node->dead && node->process.verb && --node->process.ticks == 0)
        end_process(node);
    if (!node->dead && node->drains) {
        node->runs = node->drains = false;
        node->agent.life.state = STATE_STOPPED;
        nodes_agent_down(node->local.nodes, &node->agent);
    }
    if (!node->dead)
        node->timer->ring(node->timer->context);
    if (!node->dead && node->runs && !node->drains)
        does_work(node);
}

static void pass(struct node *node, int returns)
{
    if (node->dead && --node->returns == 0)
        begin_node(node);
    else if (!node->dead)
        live(node);
    if (node->dead && node->returns <= 0) {
        end_node(node);
        node->returns = returns;
    }
    if (!node->cut || node->dead)
        return;
    if (node->returns <= 0)
        node->bus.state(node->bus.context, false, "its line is cut");
    node->returns = node->returns <= 0 ? returns : node->returns - 1;
    if (node->returns == 0)
        join(node);
}

static void tick(int returns)
{
    for (size_t i = 0; i < NODES; i++)
        pass(&nodes[i], returns);
    test_clock_move(TICK_MS, TICK_MS);
}

static struct node *runner(void)
{
    assert_false(nodes[0].runs && nodes[1].runs);
    return nodes[0].runs ? &nodes[0] : nodes[1].runs ? &nodes[1] : NULL;
}

static void move_from(struct node *node)
{
    struct fault fault = {0};
    enter(node);
    int exit = nodes_move(node->local.nodes, &node->agent, node == nodes ? "dc2" : "dc1", &fault);
    if (exit != 0)
        fail_msg("it can't be moved: %s", fault.text);
}

/* --- the walk --- */

static void begin_world(void)
{
    static char nowhere[] = "";
    done = 0;
    for (size_t i = 0; i < NODES; i++) {
        nodes[i] = (struct node){.definition = {.node = nowhere}};
        snprintf(nodes[i].path, sizeof nodes[i].path, "%s/%zu", scratch.path, i);
        OWNED char *agents = memory_print("%s/agents", nodes[i].path);
        assert_int_equal(mkdir(nodes[i].path, 0755), 0);
        assert_int_equal(mkdir(agents, 0755), 0);
    }
    put_agent(&nodes[0], 0);
    for (size_t i = 0; i < NODES; i++)
        begin_node(&nodes[i]);
}

static void end_world(void)
{
    for (size_t i = 0; i < NODES; i++) {
        if (!nodes[i].dead)
            end_node(&nodes[i]);
        assert_int_equal(remove_folder(nodes[i].path), 0);
    }
    for (size_t i = 0; i < sent_count; i++) {
        free(stream[i].id);
        buffer_free(&stream[i].bytes);
    }
    sent_count = 0;
    free(bucket.text);
    bucket.text = NULL;
    bucket.revision = 0;
}

/* False: the victim makes fewer steps than that. */
static bool walk(size_t who, long at, int returns)
{
    begin_world();
    victim = who;
    kill_at = at;
    steps = 0;
    killed = counting = false;
    for (int i = 0; i < CALM && !runner(); i++)
        tick(returns);
    assert_ptr_equal(runner(), &nodes[0]);
    tick(returns);
    counting = true;
    move_from(&nodes[0]);
    for (int i = 0; i < CALM; i++) {
        tick(returns);
        counting = i < MOVING;
    }
    struct node *now_at = runner();
    assert_non_null(now_at);
    assert_true(killed || now_at == &nodes[1]);
    assert_int_equal(lines_of(now_at), done);
    move_from(now_at);
    for (int i = 0; i < CALM && runner() != other_of(now_at); i++)
        tick(returns);
    assert_ptr_equal(runner(), other_of(now_at));
    assert_false(other_of(runner())->runs);
    end_world();
    return killed;
}

static void walk_all(void)
{
    static const int returns[] = {1, RETURNS_LATE};
    for (size_t who = 0; who < NODES; who++)
        for (size_t i = 0; i < sizeof returns / sizeof *returns; i++) {
            long at = 1;
            while (walk(who, at, returns[i]))
                at++;
            assert_true(at > 6);
        }
}

static void test_a_node_killed_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did(void **state)
{
    cuts = false;
    walk_all();
}

static void test_a_node_cut_off_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did(void **state)
{
    cuts = true;
    walk_all();
}

int main(void)
{
    setenv("AGENTOS_BUS", "nats://nowhere", 1);
    setenv("AGENTOS_NODE", "dc1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_killed_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did),
        cmocka_unit_test(test_a_node_cut_off_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did)};
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
