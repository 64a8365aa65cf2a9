/* An agent is moved between two nodes, and one of them is killed, or its line to the bus is cut, at each step of it:
 * before each message to the bus or key, each process and each rename that the supervisor makes. Whatever state is
 * left, and whether the node or its line comes back at once or later, in the end the agent runs on one node with all
 * that its worker ever did, and can be moved again; at no moment does it run on two.
 *
 * And an agent whose node is gone is taken from the git remote, while the node that takes it is killed at each step, the
 * node that is gone comes back or doesn't, and the bucket is lost or isn't. */
#include "common/test_clock.h"
#include "move_world.h"

enum {
    ASKING = 10,    /* ticks between two tries to take the agent from the remote */
    FETCHING = 120, /* ticks: by then it is taken */
    NEVER = INT_MAX,
};

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
                                      .bus = (struct bus_link *)node,
                                      .mirror = remote.is_set ? (struct mirror_link *)node : NULL};
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
    free(node->asks.bundle);
    memset(&node->asks, 0, sizeof node->asks);
    nodes_close(node->local.nodes);
    free(node->agent.order.elsewhere);
    close(node->local.data);
}

static int run_process(struct node *node, bool export)
{
    unsigned lines = lines_of(node);
    struct stat status;
    if (export) {
        assert_int_equal(access(node->process.file, F_OK), -1);
        make_bundle(node->process.file, lines);
        return 0;
    }
    assert_int_equal(stat(node->process.file, &status), 0);
    assert_true(status.st_size >= PAD && lines == UINT32_MAX);
    put_agent(node, (unsigned)status.st_size - PAD);
    if (remote.is_set)
        tree_epoch_write(node->local.data, AGENT, remote.epoch, false);
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
    if (!node->dead)
        hear_remote(node);
    if (!node->dead && node->process.verb && --node->process.ticks == 0)
        end_process(node);
    if (!node->dead && node->drains) {
        node->runs = node->drains = false;
        node->agent.life.state = STATE_STOPPED;
        nodes_agent_down(node->local.nodes, &node->agent);
    }
    if (!node->dead)
        node->timer->ring(node->timer->context);
    if (!node->dead && node->runs && !node->drains && node->agent.order.epoch < committed)
        nodes_commits_are_of(node->local.nodes, &node->agent,
                             committed); /* as its worker says first of all */
    else if (!node->dead && node->runs && !node->drains)
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
    committed = 0;
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

/* --- from the git remote --- */

static void lose_bucket(void)
{
    free(bucket.text);
    bucket.text = NULL;
    bucket.revision = 0;
    enter(&nodes[1]);
    nodes[1].bus.state(nodes[1].bus.context, false, "its server lost everything");
    join(&nodes[1]);
}

/* Types `move --from-remote` on the second node. */
static void take_from_remote(void)
{
    struct node *node = &nodes[1];
    OWNED_BUFFER struct buffer lacks = {0};
    struct fault fault = {0};
    enter(node);
    int exit = from_remote_move(&node->local, &node->agent, "dc2", true, &lacks, &fault);
    if (exit != EX_OK && exit != EX_TEMPFAIL)
        fail_msg("it can't be taken: %s", fault.text);
}

/* The first node is dead from a moment on when the remote has all its work, and is there again after so many ticks; the
 * second one, which never had the agent, is killed or cut off at that step. False: it makes fewer steps. */
static bool walk_remote(long at, int returns, int first_returns, bool loses_bucket, bool is_taken)
{
    begin_world();
    victim = 1;
    kill_at = at;
    steps = 0;
    killed = counting = false;
    for (int i = 0; i < CALM && runner() != &nodes[0]; i++)
        tick(returns);
    assert_ptr_equal(runner(), &nodes[0]);
    tick(returns);
    end_node(&nodes[0]);
    nodes[0].returns = first_returns;
    remote.lines = done;
    remote.epoch = committed;
    if (loses_bucket)
        lose_bucket();
    counting = true;
    for (int i = 0; i < CALM; i++) {
        if (is_taken && i % ASKING == 0 && !nodes[1].dead && !runner())
            take_from_remote();
        tick(returns);
        counting = i < FETCHING;
    }
    struct node *now_at = runner();
    assert_true(is_taken || first_returns == NEVER ? !now_at == !is_taken : now_at == &nodes[0]);
    if (now_at)
        assert_int_equal(lines_of(now_at), done);
    else
        assert_int_equal(lines_of(&nodes[1]), NO_BRANCH);
    end_world();
    return killed;
}

static void walk_remote_all(bool is_taken)
{
    static const int returns[] = {1, RETURNS_LATE};
    static const int first_returns[] = {NEVER, 1, 8, 33, 37, 90};
    for (size_t i = 0; i < sizeof returns / sizeof *returns; i++)
        for (size_t k = 0; k < sizeof first_returns / sizeof *first_returns; k++)
            for (int what = 0; what < 4; what++) {
                bool loses_bucket = what & 1;
                long at = 1;
                cuts = what & 2;
                while (walk_remote(at, returns[i], first_returns[k], loses_bucket, is_taken))
                    at++;
                bool asks =
                    loses_bucket && first_returns[k] == NEVER; /* a node that is back needs no question */
                assert_true(at > 1 || !(is_taken || asks));
            }
}

static int remote_begin(void **state)
{
    setenv("AGENTOS_GIT_REMOTE", "file:///nowhere/{agent}.git", 1);
    remote.is_set = remote.answers = true;
    remote.lines = NO_BRANCH;
    return 0;
}

static int remote_end(void **state)
{
    unsetenv("AGENTOS_GIT_REMOTE");
    remote.is_set = false;
    return 0;
}

static void
test_a_node_killed_at_any_step_of_taking_from_the_remote_leaves_one_agent_with_all_that_is_there(void **state)
{
    walk_remote_all(true);
}

static void
test_a_node_without_its_directory_never_begins_an_agent_anew_whose_branch_the_remote_has(void **state)
{
    walk_remote_all(false);
}

static void
test_an_agent_begins_where_the_remote_has_no_branch_and_not_while_it_can_not_be_asked(void **state)
{
    begin_world();
    OWNED char *path = memory_print("%s/agents/" AGENT, nodes[0].path);
    assert_int_equal(remove_folder(path), 0);
    remote.answers = false;
    founds = true;
    for (int i = 0; i < CALM; i++)
        tick(1);
    assert_null(runner());
    remote.answers = true;
    for (int i = 0; i < CALM && !runner(); i++)
        tick(1);
    assert_non_null(runner());
    founds = false;
    end_world();
}

/* --- an agent that is new --- */

/* Neither node has the agent; the first node is killed or cut off at that step. */
static bool walk_founding(long at, int returns)
{
    begin_world();
    OWNED char *path = memory_print("%s/agents/" AGENT, nodes[0].path);
    assert_int_equal(remove_folder(path), 0);
    victim = 0;
    kill_at = at;
    steps = 0;
    killed = false;
    counting = founds = true;
    for (int i = 0; i < CALM; i++) {
        tick(returns);
        counting = i < FETCHING;
    }
    struct node *now_at = runner();
    assert_non_null(now_at);
    assert_int_equal(lines_of(now_at), done);
    OWNED char *folder = memory_print("%s/agents/" AGENT, other_of(now_at)->path);
    assert_true(killed || access(folder, F_OK) != 0);
    assert_int_equal(lines_of(other_of(now_at)), NO_BRANCH);
    founds = false;
    end_world();
    return killed;
}

static void
test_a_node_killed_or_cut_off_at_any_step_of_an_agents_beginning_leaves_one_agent_that_runs(void **state)
{
    static const int returns[] = {1, RETURNS_LATE};
    for (size_t i = 0; i < sizeof returns / sizeof *returns; i++)
        for (int what = 0; what < 2; what++) {
            long at = 1;
            cuts = what;
            while (walk_founding(at, returns[i]))
                at++;
            assert_true(at > 3);
        }
}

/* The first node has asked for the lease, or has it, and its worker has not made the repository. */
static void end_before_its_directory(bool has_lease)
{
    begin_world();
    OWNED char *path = memory_print("%s/agents/" AGENT, nodes[0].path);
    OWNED char *git = memory_print("%s/.git", path);
    assert_int_equal(remove_folder(path), 0);
    founds = true;
    for (int i = 0; i < CALM && (has_lease ? !runner() : !bucket.text); i++)
        tick(1);
    assert_ptr_equal(runner(), has_lease ? &nodes[0] : NULL);
    assert_int_equal(remove_folder(git), 0);
    done = 0;
    end_node(&nodes[0]);
    nodes[0].returns = RETURNS_LATE;
    for (int i = 0; i < CALM; i++) {
        tick(1);
        assert_false(nodes[1].runs);
    }
    assert_ptr_equal(runner(), &nodes[0]);
    founds = false;
    end_world();
}

static void test_an_agent_whose_node_ended_before_it_had_a_directory_begins_there(void **state)
{
    end_before_its_directory(true);
    end_before_its_directory(false);
}

int main(void)
{
    setenv("AGENTOS_BUS", "nats://nowhere", 1);
    setenv("AGENTOS_NODE", "dc1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_killed_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did),
        cmocka_unit_test(test_a_node_cut_off_at_any_step_of_a_move_leaves_one_agent_with_all_that_it_did),
        cmocka_unit_test_setup_teardown(
            test_a_node_killed_at_any_step_of_taking_from_the_remote_leaves_one_agent_with_all_that_is_there,
            remote_begin, remote_end),
        cmocka_unit_test_setup_teardown(
            test_a_node_without_its_directory_never_begins_an_agent_anew_whose_branch_the_remote_has,
            remote_begin, remote_end),
        cmocka_unit_test_setup_teardown(
            test_an_agent_begins_where_the_remote_has_no_branch_and_not_while_it_can_not_be_asked,
            remote_begin, remote_end),
        cmocka_unit_test(
            test_a_node_killed_or_cut_off_at_any_step_of_an_agents_beginning_leaves_one_agent_that_runs),
        cmocka_unit_test(test_an_agent_whose_node_ended_before_it_had_a_directory_begins_there)};
    return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
