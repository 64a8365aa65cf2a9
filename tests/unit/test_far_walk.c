/* Envelopes between two nodes through everything at once: messages lost, repeated and turned round, a bus that forgets all,
 * connections that go, nodes killed, verdicts lost, while agents send, read, finish and let expire. At the end each envelope has
 * come to exactly one end, was given to its receiver at most once, and its sender was told; and of one kind and priority between two
 * agents none was delivered before an earlier one, though urgent envelopes and envelopes from before go past those that
 * travel. */
#include "two_nodes.h"

enum { ENVELOPES = 60, STEPS = 900, SEEDS = 5 };

#define YAML                                                                                                 \
    "agents:\n  - {name: orion, persona: p, throughput_class: slow}\n"                                       \
    "  - {name: iris, persona: p, throughput_class: slow}\n  - {name: nova, persona: p}\n"                   \
    "throughput_classes: {slow: {window: 2, backlog: 6}}\n"

static const char *const agents[] = {"orion", "iris", "nova"};

static struct walk {
    unsigned seed;
    int sent;
    struct sent {
        char id[16];
        const char *from, *to;
        enum envelope_kind kind;
        enum priority priority;
        bool set_back; /* its `created` is earlier than its sending, so its place is another one */
        int taken;
    } all[ENVELOPES];
    size_t heard; /* of two.verdicts */
} walk;

static int chance(int most)
{
    return rand_r(&walk.seed) % most;
}

static void send_one(void)
{
    static const char *const routes[][2] = {
        {"orion", "iris"}, {"nova", "iris"}, {"iris", "orion"}, {"iris", "nova"}};
    if (walk.sent == ENVELOPES)
        return;
    struct sent *sent = &walk.all[walk.sent];
    const char *const *route = routes[chance(4)];
    snprintf(sent->id, sizeof sent->id, "e%03d", walk.sent++);
    sent->from = route[0];
    sent->to = route[1];
    struct envelope letter =
        office_letter(sent->id, chance(3) ? KIND_HANDOFF : KIND_MESSAGE, sent->from, sent->to);
    letter.ttl_seconds = chance(3) ? 0 : 1 + chance(3);
    letter.priority = chance(3) ? PRIORITY_NORMAL : chance(2) ? PRIORITY_HIGH : PRIORITY_LOW;
    sent->set_back = chance(8) == 0;
    letter.created -= sent->set_back ? 1 + chance(60) : 0;
    sent->kind = letter.kind;
    sent->priority = letter.priority;
    office_send(&node_of(sent->from)->office, &letter, sent->from);
}

static void hear(const char *agent, const char *id, const char *status)
{
    const struct office *office = &node_of(agent)->office;
    struct envelope envelope;
    bool refused = strcmp(status, "refused") == 0;
    if (strcmp(status, "deferred") == 0 ||
        mailbox_read(office->data, agent, FOLDER_OUTBOX, id, &envelope, NULL, NULL) != MAILBOX_READ)
        return;
    free(envelope.status);
    envelope.status = memory_text(status);
    office_put(office, agent, refused ? FOLDER_DEAD_LETTERS : FOLDER_ARCHIVE, &envelope);
    assert_true(mailbox_remove(office->data, agent, FOLDER_OUTBOX, id));
    envelope_free(&envelope);
}

/* Workers act on their messages; the workers of `killed`, NULL for none, have ended before that, and so have `lost` of
 * a hundred. */
static void workers_hear(const struct node *killed, int lost)
{
    while (walk.heard < two.verdicts.length) {
        char agent[64], id[128], status[32];
        const char *line = two.verdicts.data + walk.heard;
        assert_int_equal(sscanf(line, "%63s %127s %31s", agent, id, status), 3);
        walk.heard += strcspn(line, "\n") + 1;
        if (node_of(agent) != killed && chance(100) >= lost)
            hear(agent, id, status);
    }
}

static void answer(const struct envelope *envelope, const char *agent)
{
    OWNED char *id = memory_print("r-%s", envelope->id);
    struct envelope result = office_letter(id, KIND_RESULT, agent, envelope->from);
    result.in_reply_to = envelope->id;
    office_send(&node_of(agent)->office, &result, agent);
}

static void take(const char *agent, enum folder folder, const char *id)
{
    struct office *office = &node_of(agent)->office;
    struct envelope envelope;
    int number;
    if (mailbox_read(office->data, agent, folder, id, &envelope, NULL, NULL) != MAILBOX_READ)
        return;
    int64_t at = expiry_of(envelope.created, envelope.ttl_seconds);
    if ((at < 0 || at > clock_now()) && mailbox_move(office->data, agent, folder, FOLDER_ARCHIVE, id)) {
        if (sscanf(id, "e%d", &number) == 1 && strlen(id) == 4) {
            walk.all[number].taken++;
            assert_string_equal(envelope.from, walk.all[number].from);
        }
        post_settled(office->post, agent, id, "finished", "");
        if (folder == FOLDER_HANDOFFS)
            answer(&envelope, agent);
    }
    envelope_free(&envelope);
}

static void works(const char *agent)
{
    for (enum folder folder = FOLDER_INBOX; folder <= FOLDER_HANDOFFS; folder++) {
        struct mailbox_names names = {0};
        mailbox_list(node_of(agent)->office.data, agent, folder, &names);
        for (size_t i = 0; i < names.count && i < 2; i++)
            take(agent, folder, names.ids[i]);
        mailbox_names_free(&names);
    }
}

static void bus_does(void)
{
    struct bus_message *message = two.messages, *end = message + MESSAGES_MAX;
    int luck = chance(10), skip = chance(6);
    while (message < end && (!message->text.length || skip-- > 0))
        message++;
    if (message == end)
        return;
    if (luck == 0)
        bus_drop(message);
    else if (luck == 1 && !message->in_hand)
        bus_add(message->agent, message->node, message->from, &message->text);
    else
        bus_hands_over(message);
}

static void step(void)
{
    struct node *node = &two.nodes[chance(2)];
    int what = chance(100);
    if (what < 12)
        send_one();
    else if (what < 55)
        bus_does();
    else if (what < 75)
        loop_turn(node->office.loop, 1);
    else if (what < 83)
        workers_hear(NULL, 30);
    else if (what < 91)
        works(agents[chance(3)]);
    else if (what < 94) { /* its workers end with it */
        workers_hear(node, 0);
        node_again(node);
    } else if (what < 97)
        node_connects(node, !node->connected);
    else if (what == 97)
        for (size_t i = 0; i < MESSAGES_MAX; i++)
            if (two.messages[i].text.length)
                bus_drop(&two.messages[i]);
}

/* With say, each is printed. */
static size_t lying(bool say)
{
    static const enum folder folders[] = {FOLDER_INBOX, FOLDER_HANDOFFS, FOLDER_OUTBOX, FOLDER_SENT};
    size_t count = 0;
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof folders / sizeof *folders; k++) {
            struct mailbox_names names = {0};
            mailbox_list(node_of(agents[i])->office.data, agents[i], folders[k], &names);
            count += names.count;
            for (size_t n = 0; say && n < names.count; n++)
                print_message("%s: folder %d: %s\n", agents[i], (int)folders[k], names.ids[n]);
            mailbox_names_free(&names);
        }
    return count;
}

/* No more faults: all nodes and workers do their work until none is left. */
static void come_to_an_end(void)
{
    int64_t until_ms = clock_monotonic_ms() + 40000;
    for (int round = 0; lying(false) > 0; round++) {
        if (clock_monotonic_ms() > until_ms)
            fail_msg("seed %u: %zu envelopes have not ended", walk.seed, lying(true));
        for (size_t i = 0; i < 2; i++)
            if (!two.nodes[i].connected || round % 64 == 0) {
                node_connects(&two.nodes[i], false);
                node_connects(&two.nodes[i], true);
            }
        for (size_t i = 0; i < 3; i++) {
            works(agents[i]);
            post_rings(node_of(agents[i])->office.post, agents[i], "");
        }
        workers_hear(NULL, 0);
        for (size_t i = 0; i < 2; i++)
            post_scan(two.nodes[i].office.post);
        two_settle();
    }
}

static size_t bounces_of(const struct sent *sent)
{
    struct mailbox_names names = {0};
    size_t count = 0;
    OWNED char *start = memory_print("%s-bounce", sent->id);
    mailbox_list(node_of(sent->from)->office.data, sent->from, FOLDER_ARCHIVE, &names);
    for (size_t i = 0; i < names.count; i++)
        count += strncmp(names.ids[i], start, strlen(start)) == 0;
    mailbox_names_free(&names);
    return count;
}

static void check(const struct sent *sent)
{
    const struct office *here = &node_of(sent->from)->office, *there = &node_of(sent->to)->office;
    unsigned with_receiver = mailbox_lies(there->data, sent->to, sent->id),
             with_sender = mailbox_lies(here->data, sent->from, sent->id);
    bool done = with_receiver & POST_ARCHIVE, dead_there = with_receiver & POST_DEAD_LETTER,
         dead_here = with_sender & POST_DEAD_LETTER;
    if (done + dead_there + dead_here != 1 || sent->taken != done || !with_sender)
        fail_msg("%s: done %d, dead there %d, here %d; taken %d times; sender %u\n%s\n%s", sent->id, done,
                 dead_there, dead_here, sent->taken, with_sender, here->said.data, there->said.data);
    bool expired = dead_there;
    if (dead_here) {
        struct envelope dead = office_read(here, sent->from, FOLDER_DEAD_LETTERS, sent->id);
        expired = strcmp(dead.status, "expired") == 0;
        envelope_free(&dead);
    }
    if (bounces_of(sent) != expired)
        fail_msg("%s: %zu bounces, expired %d", sent->id, bounces_of(sent), expired);
}

/* Where that was said first of the envelope; NULL: it was not. */
static const char *said_of(const struct sent *sent, const char *agent, const char *event)
{
    OWNED char *line = memory_print("%s event %s %s", agent, event, sent->id);
    const struct buffer *said = &node_of(agent)->office.said;
    return said->data ? strstr(said->data, line) : NULL;
}

/* An envelope that was refused once has lost its place, also where its worker died before it heard of that. */
static void check_order(const struct sent *first, const struct sent *second)
{
    const char *before = said_of(first, first->to, "delivered"),
               *after = said_of(second, second->to, "delivered");
    bool same = first->kind == second->kind && first->from == second->from && first->to == second->to &&
                first->priority == second->priority && !first->set_back && !second->set_back;
    if (same && before && after && before > after && !said_of(first, first->from, "refused"))
        fail_msg("seed %u: %s was delivered before %s\n%s", walk.seed, second->id, first->id,
                 node_of(first->to)->office.said.data);
}

static void test_each_ends_once_and_its_sender_is_told(void **state)
{
    const char *first = getenv("WALK_SEED"); /* to walk other ways, or one again */
    unsigned from = first ? (unsigned)atoi(first) : 1;
    for (unsigned seed = from; seed < from + SEEDS; seed++) {
        walk = (struct walk){.seed = seed};
        two_setup_of(YAML);
        for (int i = 0; i < STEPS; i++)
            step();
        while (walk.sent < ENVELOPES)
            send_one();
        come_to_an_end();
        int finished = 0;
        for (int i = 0; i < ENVELOPES; i++) {
            check(&walk.all[i]);
            finished += walk.all[i].taken;
        }
        for (int i = 0; i < ENVELOPES; i++)
            for (int k = i + 1; k < ENVELOPES; k++)
                check_order(&walk.all[i], &walk.all[k]);
        print_message("seed %u: %d of %d were done, the others refused or expired; %zu sendings\n", seed,
                      finished, ENVELOPES, two.published);
        two_teardown(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_ends_once_and_its_sender_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
