/* One agent's lease: many nodes and one bucket, played by simulated clocks. A node's steps between two events take no
 * time; messages to and from the bucket take their time, are lost with a connection, and nodes sleep, die and come
 * back. */
#include <stdio.h>
#include <string.h>

#include "supervisor/nodes/lease.h"
#include "tests/unit/cmocka.h"

enum { NODES = 3, MESSAGES = 64, TICK_MS = 100, GRACE_MS = 8000 };

struct message {
    int64_t at;
    enum { NOTHING, PUT, KEPT, KEY } kind;
    struct lease_value value;
    uint64_t revision;
    uint64_t session, ticket; /* of the node when it was sent */
    bool there, refused;
};

struct node {
    struct lease lease;
    char name[8];
    int64_t offset; /* its clock's */
    bool connected, asleep, dead, lives;
    uint64_t heard;  /* the session that its lease knows of */
    int64_t down_at; /* a worker that drains ends then */
    uint64_t session, ticket;
    struct message messages[MESSAGES];
};

static struct node nodes[NODES];
static struct {
    bool there;
    struct lease_value value;
    uint64_t revision;
} bucket;
static int64_t now_ms;
static unsigned seed;
static uint64_t runs, last_epoch, tree_epoch[NODES];
static bool shared_tree;

static int64_t chance(int64_t below)
{
    seed = seed * 1103515245 + 12345;
    return (int64_t)((seed >> 8) % (unsigned)below);
}

static int64_t clock_of(const struct node *node)
{
    return now_ms + node->offset;
}

static void send_to(struct node *node, struct message message, int64_t delay)
{
    for (size_t i = 0; i < MESSAGES; i++)
        if (node->messages[i].kind == NOTHING) {
            node->messages[i] = message;
            node->messages[i].at = now_ms + delay;
            node->messages[i].session = node->session;
            return;
        }
    fail_msg("too many messages under way");
}

static bool on_put(void *context, const struct lease_value *value, uint64_t revision)
{
    struct node *node = context;
    if (!node->connected)
        return false;
    send_to(node,
            (struct message){.kind = PUT, .value = *value, .revision = revision, .ticket = ++node->ticket},
            chance(1500));
    return true;
}

static void on_start(void *context, uint64_t epoch)
{
    struct node *node = context;
    assert_true(epoch > last_epoch || (node->lease.local && epoch == last_epoch));
    last_epoch = epoch;
    tree_epoch[node - nodes] = epoch;
    for (size_t i = 0; shared_tree && i < NODES; i++)
        tree_epoch[i] = epoch;
    node->lives = true;
    node->down_at = INT64_MAX;
}

static void on_stop(void *context, bool hard, const char *why)
{
    struct node *node = context;
    assert_non_null(why);
    if (hard)
        node->lives = false;
    node->down_at = hard ? now_ms : now_ms + chance(GRACE_MS);
}

static const struct lease_operations operations = {.put = on_put, .start = on_start, .stop = on_stop};

static void begin(size_t i, enum lease_claim claim)
{
    struct node *node = &nodes[i];
    int64_t offset = node->offset;
    uint64_t session = node->session;
    *node =
        (struct node){.offset = offset, .session = session + 1, .heard = session + 1, .down_at = INT64_MAX};
    snprintf(node->name, sizeof node->name, "node%zu", i);
    lease_begin(&node->lease, &operations, node, node->name, ++runs, clock_of(node));
    lease_claim(&node->lease, claim, tree_epoch[i], clock_of(node));
}

static void begin_all(unsigned chosen, enum lease_claim claim)
{
    seed = chosen;
    now_ms = 1000000;
    last_epoch = 0;
    shared_tree = true;
    memset(tree_epoch, 0, sizeof tree_epoch);
    memset(&bucket, 0, sizeof bucket);
    memset(nodes, 0, sizeof nodes);
    for (size_t i = 0; i < NODES; i++) {
        nodes[i].offset = chance(1000000000);
        begin(i, claim);
    }
}

static void tell(struct node *node, int64_t delay)
{
    send_to(node,
            (struct message){
                .kind = KEY, .value = bucket.value, .revision = bucket.revision, .there = bucket.there},
            delay);
}

static void tell_session(struct node *node)
{
    if (node->heard != node->session && node->lease.connected)
        lease_connected(&node->lease, false, clock_of(node));
    if (node->heard != node->session && node->connected)
        lease_connected(&node->lease, true, clock_of(node));
    node->heard = node->session;
}

static void connect_node(struct node *node, bool connected)
{
    if (node->connected == connected || node->dead)
        return;
    node->connected = connected;
    node->session++;
    if (connected)
        tell(node, 100 + chance(400)); /* heard when it is awake, like all else */
    if (!node->asleep)
        tell_session(node);
}

static void keep(struct node *node, const struct message *message)
{
    uint64_t has = bucket.there ? bucket.revision : 0;
    bool right = message->revision == has;
    if (right) {
        bucket.there = true;
        bucket.value = message->value;
        bucket.revision++;
        for (size_t i = 0; i < NODES; i++)
            if (nodes[i].connected && !nodes[i].dead)
                tell(&nodes[i], chance(300));
    }
    send_to(node,
            (struct message){.kind = KEPT,
                             .revision = right ? bucket.revision : 0,
                             .refused = !right,
                             .ticket = message->ticket},
            chance(1500));
}

static void hear(struct node *node, struct message *slot)
{
    struct message message = *slot;
    if (message.kind == PUT && message.at <= now_ms) { /* the message was sent, whatever the node does now */
        slot->kind = NOTHING;
        if (message.session == node->session || chance(2))
            keep(node, &message);
        return;
    }
    if (message.kind == NOTHING || message.at > now_ms || node->asleep)
        return;
    slot->kind = NOTHING;
    if (message.session != node->session || node->dead)
        return;
    if (message.kind == KEY)
        lease_key(&node->lease, message.there ? &message.value : NULL, message.revision, clock_of(node));
    else if (message.ticket == node->ticket)
        lease_kept(&node->lease, message.revision, message.refused, clock_of(node));
}

static size_t count_living(void)
{
    size_t count = 0;
    for (size_t i = 0; i < NODES; i++)
        count += nodes[i].lives && !nodes[i].asleep && !nodes[i].dead;
    return count;
}

static void tick(void)
{
    now_ms += TICK_MS;
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        if (node->dead)
            continue;
        if (!node->asleep)
            lease_turn(&node->lease, clock_of(node));
        for (size_t j = 0; j < MESSAGES; j++)
            hear(node, &node->messages[j]);
        if (!node->asleep && node->down_at <= now_ms) {
            node->down_at = INT64_MAX;
            node->lives = false;
            lease_claim(&node->lease, node->lease.claim, tree_epoch[i], clock_of(node));
            lease_down(&node->lease, clock_of(node));
        }
        if (!node->asleep && !node->lives)
            lease_claim(&node->lease, node->lease.claim, tree_epoch[i], clock_of(node));
    }
    if (count_living() > 1)
        fail_msg("seed %u: two nodes run the agent at once, %lld ms after the start", seed,
                 (long long)now_ms - 1000000);
}

static void pass(int64_t ms)
{
    for (int64_t end = now_ms + ms; now_ms < end;)
        tick();
}

/* The first thing of a node that wakes is its turn. */
static void wake(struct node *node)
{
    node->asleep = false;
    lease_turn(&node->lease, clock_of(node));
    tell_session(node);
}

static void lose_bucket(void)
{
    memset(&bucket, 0, sizeof bucket);
    for (size_t i = 0; i < NODES; i++) {
        for (size_t j = 0; j < MESSAGES; j++) /* with its server */
            if (nodes[i].messages[j].kind == PUT)
                nodes[i].messages[j].kind = NOTHING;
        bool was = nodes[i].connected;
        connect_node(&nodes[i], false);
        connect_node(&nodes[i], was);
    }
}

static struct node *runner(void)
{
    for (size_t i = 0; i < NODES; i++)
        if (nodes[i].lives && !nodes[i].asleep && !nodes[i].dead)
            return &nodes[i];
    return NULL;
}

static struct node *run_on_one(enum lease_claim claim)
{
    begin_all(7, claim);
    for (size_t i = 0; i < NODES; i++)
        connect_node(&nodes[i], true);
    pass(LEASE_FOUND_MS + 6000);
    assert_non_null(runner());
    return runner();
}

/* --- --- */

static void test_of_nodes_that_race_for_a_missing_lease_one_gets_it_after_a_whole_lease_time(void **state)
{
    begin_all(3, LEASE_HAS);
    for (size_t i = 0; i < NODES; i++)
        connect_node(&nodes[i], true);
    pass(LEASE_MS - 1000);
    assert_int_equal(count_living(), 0);
    pass(8000);
    assert_int_equal(count_living(), 1);
    struct node *first = runner();
    pass(600 * 1000);
    assert_ptr_equal(runner(), first);
    assert_int_equal(last_epoch, 1);
}

static void test_a_holder_that_cannot_renew_has_ended_before_another_starts(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    connect_node(holder, false);
    pass(LEASE_GUARD_MS + 2000);
    assert_false(holder->lives);
    pass(LEASE_MS + 5000);
    assert_true(runner() && runner() != holder);
    connect_node(holder, true);
    pass(60 * 1000);
    assert_true(runner() && runner() != holder);
}

static void test_a_short_absence_of_the_bus_stops_nobody(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    for (int i = 0; i < 20; i++) {
        connect_node(holder, false);
        pass(2000);
        connect_node(holder, true);
        pass(6000);
        assert_ptr_equal(runner(), holder);
    }
    assert_int_equal(last_epoch, 1);
}

static void test_a_node_that_slept_past_its_lease_kills_its_worker_first_of_all(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    holder->asleep = true;
    pass(60 * 1000);
    assert_true(runner() && runner() != holder && holder->lives);
    wake(holder);
    assert_false(holder->lives);
    pass(60 * 1000);
    assert_true(runner() && runner() != holder);
}

static void test_a_lost_bucket_starts_no_epoch_anew_and_stops_no_holder(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    holder->dead = true;
    holder->lives = false;
    pass(40 * 1000);
    assert_int_equal(last_epoch, 2);
    holder = runner();
    lose_bucket();
    pass(60 * 1000);
    assert_ptr_equal(runner(), holder);
    assert_int_equal(bucket.value.epoch, 2);
    holder->dead = true;
    lose_bucket();
    pass(60 * 1000);
    assert_true(runner() && runner() != holder);
    assert_int_equal(last_epoch, 3); /* the directory knows 2 */
}

static void test_a_clean_end_hands_the_lease_over_at_once(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    lease_claim(&holder->lease, LEASE_NEVER, tree_epoch[holder - nodes], clock_of(holder));
    pass(GRACE_MS + 6000);
    assert_true(runner() && runner() != holder);
    assert_true(bucket.value.epoch == 2 && !bucket.value.released);
}

static void test_an_agent_that_is_moved_runs_nowhere_until_its_lease_is_given_away(void **state)
{
    struct node *holder = run_on_one(LEASE_HAS);
    size_t i = (size_t)(holder - nodes);
    lease_claim(&holder->lease, LEASE_KEEPS, tree_epoch[i], clock_of(holder));
    pass(GRACE_MS + 60 * 1000);
    assert_null(runner());
    assert_true(lease_is_held(&holder->lease, clock_of(holder)));
    lease_claim(&holder->lease, LEASE_NEVER, tree_epoch[i], clock_of(holder));
    pass(6000);
    assert_true(runner() && runner() != holder);
    assert_int_equal(last_epoch, 2);
}

static void test_a_pinned_agent_goes_on_and_begins_without_the_bus(void **state)
{
    begin_all(5, LEASE_NEVER);
    begin(0, LEASE_PINNED);
    pass(LEASE_MS + 1000);
    assert_ptr_equal(runner(), &nodes[0]);
    connect_node(&nodes[0], true);
    pass(30 * 1000);
    assert_true(runner() == &nodes[0] && bucket.there && strcmp(bucket.value.node, "node0") == 0);
    connect_node(&nodes[0], false);
    pass(600 * 1000);
    assert_ptr_equal(runner(), &nodes[0]);
}

static void test_a_directory_that_is_older_than_the_agent_is_not_taken_up(void **state)
{
    begin_all(9, LEASE_NEVER);
    shared_tree = false;
    tree_epoch[1] = 4;
    begin(0, LEASE_HAS);
    begin(1, LEASE_HAS);
    connect_node(&nodes[1], true);
    pass(30 * 1000);
    assert_ptr_equal(runner(), &nodes[1]);
    connect_node(&nodes[0], true);
    pass(10 * 1000);
    nodes[1].dead = true;
    pass(600 * 1000);
    assert_null(runner());
    assert_true(lease_is_stale(&nodes[0].lease));
    begin(1, LEASE_HAS); /* with its own state */
    connect_node(&nodes[1], true);
    pass(40 * 1000);
    assert_ptr_equal(runner(), &nodes[1]);
}

static void
test_an_agent_without_a_directory_anywhere_begins_on_one_node_and_never_where_a_lease_was(void **state)
{
    struct node *holder = run_on_one(LEASE_FOUNDS);
    holder->dead = true;
    pass(600 * 1000);
    assert_null(runner());
}

static void shake(void)
{
    struct node *node = &nodes[chance(NODES)];
    size_t i = (size_t)(node - nodes);
    switch (chance(9)) {
    case 0:
    case 1:
        connect_node(node, !node->connected);
        break;
    case 2:
        if (node->asleep)
            wake(node);
        else if (!node->dead)
            node->asleep = true;
        break;
    case 3:
        node->lives = node->lives && !node->asleep && !node->dead;
        node->dead = true;
        node->lives = node->asleep = node->connected = false;
        node->session++;
        break;
    case 4:
    case 5:
        if (node->dead)
            begin(i, LEASE_HAS);
        break;
    case 6:
        if (chance(4) == 0)
            lose_bucket();
        break;
    default:
        break;
    }
}

static void heal(void)
{
    for (size_t i = 0; i < NODES; i++) {
        if (nodes[i].dead)
            begin(i, LEASE_HAS);
        if (nodes[i].asleep)
            wake(&nodes[i]);
        connect_node(&nodes[i], true);
    }
}

static void test_whatever_happens_no_two_nodes_run_it_at_once_and_it_runs_again_soon_after(void **state)
{
    for (unsigned i = 1; i <= 300; i++) {
        begin_all(i * 7919, LEASE_HAS);
        for (int steps = 0; steps < 150; steps++) {
            shake();
            pass(100 + chance(12000));
        }
        heal();
        pass(2 * LEASE_MS + LEASE_GUARD_MS + 6000);
        if (count_living() != 1)
            fail_msg("schedule %u: nobody runs it", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_nodes_that_race_for_a_missing_lease_one_gets_it_after_a_whole_lease_time),
        cmocka_unit_test(test_a_holder_that_cannot_renew_has_ended_before_another_starts),
        cmocka_unit_test(test_a_short_absence_of_the_bus_stops_nobody),
        cmocka_unit_test(test_a_node_that_slept_past_its_lease_kills_its_worker_first_of_all),
        cmocka_unit_test(test_a_lost_bucket_starts_no_epoch_anew_and_stops_no_holder),
        cmocka_unit_test(test_a_clean_end_hands_the_lease_over_at_once),
        cmocka_unit_test(test_an_agent_that_is_moved_runs_nowhere_until_its_lease_is_given_away),
        cmocka_unit_test(test_a_pinned_agent_goes_on_and_begins_without_the_bus),
        cmocka_unit_test(test_a_directory_that_is_older_than_the_agent_is_not_taken_up),
        cmocka_unit_test(
            test_an_agent_without_a_directory_anywhere_begins_on_one_node_and_never_where_a_lease_was),
        cmocka_unit_test(test_whatever_happens_no_two_nodes_run_it_at_once_and_it_runs_again_soon_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
