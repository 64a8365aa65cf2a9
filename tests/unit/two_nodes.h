/* Two post offices in one process, each with a data directory of its own, joined by a bus that may lose, repeat and
 * reorder its messages. orion and nova live on a, iris on b. */
#ifndef AGENTOS_TESTS_TWO_NODES_H
#define AGENTOS_TESTS_TWO_NODES_H

#include "post_office.h"

enum { MESSAGES_MAX = 4096 };

struct node {
    struct office office;
    const char *name;
    bool connected;
};

struct bus_message {
    char agent[64], node[64]; /* for an agent, or "" and for a node */
    const char *from;
    char id[300];
    struct buffer text;
    bool in_hand;
    int64_t again_ms;
};

static struct two_nodes {
    struct node nodes[2];
    struct bus_message messages[MESSAGES_MAX]; /* the token is the place, from 1; no text: free */
    char *ids[MESSAGES_MAX];                   /* message ids of the last two minutes */
    size_t id_count;
    size_t published,
        next; /* next: place, so that the bus keeps its order where a test does not turn it round */
    struct buffer verdicts; /* "orion h1 delivered\n" */
    const char
        *lease_over;     /* an agent whose lease has ended by the clock, which its post office wasn't told */
    int owned;           /* so often its node is told that the lease lasts, before it is over */
    const char *not_yet; /* an agent of which a start does not know where it lives */
} two;

static inline struct node *node_of(const char *agent)
{
    return &two.nodes[strcmp(agent, "iris") == 0];
}

static inline struct bus_message *bus_add(const char *agent, const char *node, const char *from,
                                          const struct buffer *text)
{
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        if (!two.messages[two.next++ % MESSAGES_MAX].text.length) {
            struct bus_message *message = &two.messages[(two.next - 1) % MESSAGES_MAX];
            *message = (struct bus_message){.from = from};
            snprintf(message->agent, sizeof message->agent, "%s", agent);
            snprintf(message->node, sizeof message->node, "%s", node);
            buffer_add(&message->text, text->data, text->length);
            return message;
        }
    fail_msg("the bus is full");
    return NULL;
}

static inline void bus_drop(struct bus_message *message)
{
    buffer_free(&message->text);
    *message = (struct bus_message){.from = NULL};
}

static inline void on_publish(void *context, const char *agent, const char *id, const struct buffer *text)
{
    const struct node *node = context;
    two.published++;
    for (size_t i = 0; i < two.id_count; i++)
        if (strcmp(two.ids[i], id) == 0)
            return;
    if (two.id_count < MESSAGES_MAX)
        two.ids[two.id_count++] = memory_text(id);
    bus_add(agent, "", node->name, text);
}

static inline void on_tell(void *context, const char *to, const struct buffer *text)
{
    const struct node *node = context;
    bus_add("", to, node->name, text);
}

static inline void on_took(void *context, uint64_t token)
{
    if (two.messages[token - 1].in_hand)
        bus_drop(&two.messages[token - 1]);
}

static inline void on_later(void *context, uint64_t token, int64_t ms)
{
    two.messages[token - 1].in_hand = false;
    two.messages[token - 1].again_ms = clock_monotonic_ms() + ms;
}

static inline bool on_owns(void *context, const char *agent)
{
    return !two.lease_over || strcmp(agent, two.lease_over) != 0 || two.owned-- > 0;
}

static inline void on_verdict(void *subject, const char *id, const char *status, const char *reason,
                              int64_t at)
{
    assert_true(at > 0);
    buffer_print(&two.verdicts, "%s %s %s\n", (const char *)subject, id, status);
}

/* Messages that the node had in hand come again. */
static inline void bus_gives_back(const struct node *node)
{
    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        struct bus_message *message = &two.messages[i];
        bool its = *message->agent ? node_of(message->agent) == node : strcmp(message->node, node->name) == 0;
        message->in_hand = message->in_hand && !its;
    }
}

static inline void node_connects(struct node *node, bool connected)
{
    node->connected = connected;
    if (!connected)
        bus_gives_back(node);
    post_bus_connected(node->office.post, connected);
}

static inline void node_open(struct node *node)
{
    static const char *const names[] = {"a", "b"};
    struct office *office = &node->office;
    office->post = post_open(office->loop, office->data,
                             &(struct post_owner){.verdict = on_verdict,
                                                  .look = office_look,
                                                  .told = office_told,
                                                  .sent = office_sent,
                                                  .context = office});
    post_roster(office->post, office->roster);
    post_bus(office->post, &(struct post_bus){on_publish, on_tell, on_took, on_later, on_owns, node});
    for (size_t i = 0; i < office->roster->agent_count; i++) {
        char *name = office->roster->agents[i].name;
        const struct node *home = node_of(name);
        post_agent(office->post, name, name, &office->roster->agents[i]);
        if (two.not_yet && strcmp(name, two.not_yet) == 0)
            post_lives(office->post, name, "", false);
        else
            post_lives(office->post, name, home == node ? NULL : names[home - two.nodes], true);
    }
    post_start(office->post);
    node_connects(node, true);
}

/* Like a kill -9 and a new start: messages in between are lost. */
static inline void node_again(struct node *node)
{
    post_close(node->office.post);
    bus_gives_back(node);
    node_open(node);
}

static inline int two_setup_of(const char *yaml)
{
    static const char *const names[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        office_begin(&two.nodes[i].office, yaml);
        post_close(two.nodes[i].office.post);
        two.nodes[i].name = names[i];
        node_open(&two.nodes[i]);
    }
    the_office = &two.nodes[0].office;
    return 0;
}

static inline int two_teardown(void **state)
{
    for (size_t i = 0; i < 2; i++)
        office_end(&two.nodes[i].office);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        if (two.messages[i].text.length)
            bus_drop(&two.messages[i]);
    while (two.id_count)
        free(two.ids[--two.id_count]);
    buffer_free(&two.verdicts);
    memset(&two, 0, sizeof two);
    return 0;
}

/* False: the message can't be handed over now. */
static inline bool bus_hands_over(struct bus_message *message)
{
    struct node *to = *message->agent                   ? node_of(message->agent)
                      : strcmp(message->node, "b") == 0 ? &two.nodes[1]
                                                        : &two.nodes[0];
    if (!message->text.length || message->in_hand || !to->connected ||
        message->again_ms > clock_monotonic_ms())
        return false;
    if (*message->agent) {
        OWNED char *text = memory_slice(message->text.data, message->text.length);
        message->in_hand = true;
        post_arrived(to->office.post, (uint64_t)(message - two.messages) + 1, message->from, text,
                     strlen(text));
        return true;
    }
    post_node_says(to->office.post, message->text.data, message->text.length);
    bus_drop(message);
    return true;
}

/* All that can be done is done, in the bus's order. */
static inline void two_settle(void)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < MESSAGES_MAX; i++)
            again = bus_hands_over(&two.messages[i]) || again;
        office_settle(&two.nodes[0].office);
        office_settle(&two.nodes[1].office);
    }
}

static inline bool two_said(const char *line)
{
    OWNED char *whole = memory_print("\n%s\n", line);
    OWNED char *all = memory_print("\n%s", two.verdicts.data ? two.verdicts.data : "");
    return strstr(all, whole) != NULL;
}

#define UNTIL_TWO(condition)                                                                                 \
    do {                                                                                                     \
        int64_t until_ = clock_monotonic_ms() + 60000;                                                       \
        while (!(condition)) {                                                                               \
            if (clock_monotonic_ms() > until_)                                                               \
                fail_msg("never came true: %s\n%s", #condition, two.verdicts.data ? two.verdicts.data : ""); \
            two_settle();                                                                                    \
        }                                                                                                    \
    } while (0)

#endif
