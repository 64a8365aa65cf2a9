/* The table of checks that an envelope passes. */
#include <string.h>
#include <sys/stat.h>

#include "supervisor/store/route.h"
#include "tests/unit/cmocka.h"

static const char yaml[] = "agents:\n"
                           "  - {name: orion, persona: p, may_send_to: [iris]}\n"
                           "  - {name: iris, persona: p}\n"
                           "  - {name: mute, persona: p, may_send_to: []}\n"
                           "queues:\n"
                           "  - {name: reviews, consumers: [iris]}\n"
                           "  - {name: mixed, consumers: [iris, mute]}\n"
                           "  - {name: own, consumers: [mute, orion]}\n"
                           "  - {name: shut, consumers: [mute]}\n";

static int setup(void **state)
{
    OWNED_BUFFER struct buffer faults = {0};
    *state = roster_parse(yaml, sizeof yaml - 1, "agents.yaml", &faults);
    if (!*state)
        print_message("%s", faults.data);
    return *state == NULL;
}

static int teardown(void **state)
{
    roster_free(*state);
    return 0;
}

static const struct row {
    const char *from, *to;
    enum envelope_kind kind;
    int64_t hops;
    bool answers;
    enum route route;
    const char *why;
} rows[] = {
    {"iris", "orion", KIND_HANDOFF, 1, false, ROUTE_HANDOFFS, NULL},
    {"iris", "orion", KIND_MESSAGE, 16, false, ROUTE_INBOX, NULL},
    {"iris", "orion", KIND_MESSAGE, 17, false, ROUTE_REFUSED, "17 hops"},
    {"orion", "iris", KIND_HANDOFF, 1, false, ROUTE_HANDOFFS, NULL},
    {"orion", "mute", KIND_HANDOFF, 1, false, ROUTE_REFUSED, "orion may not send to mute"},
    {"orion", "mute", KIND_RESULT, 17, true, ROUTE_INBOX, NULL},
    {"orion", "mute", KIND_RESULT, 1, false, ROUTE_REFUSED, "orion may not send to mute"},
    {"mute", "mute", KIND_MESSAGE, 1, false, ROUTE_REFUSED, "mute may not send to mute"},
    {NULL, "mute", KIND_MESSAGE, 1, false, ROUTE_INBOX, NULL},
    {"iris", "iris", KIND_HANDOFF, 1, false, ROUTE_REFUSED, "can't hand work to itself"},
    {"iris", "iris", KIND_MESSAGE, 1, false, ROUTE_INBOX, NULL},
    {NULL, "iris", KIND_HANDOFF, 1, false, ROUTE_HANDOFFS, NULL},
    {"iris", "nobody", KIND_HANDOFF, 1, false, ROUTE_REFUSED, "there is no agent 'nobody'"},
    {"iris", "orion", KIND_BOUNCE, 1, false, ROUTE_REFUSED, "a bounce is not sent"},
    {"iris", "orion", KIND_TASK, 1, false, ROUTE_REFUSED, "a task is not sent"},
    {"iris", "queue:reviews", KIND_ITEM, 1, false, ROUTE_QUEUE, NULL},
    {"iris", "queue:none", KIND_ITEM, 1, false, ROUTE_REFUSED, "there is no queue 'none'"},
    {"orion", "queue:reviews", KIND_ITEM, 1, false, ROUTE_QUEUE, NULL},
    {"orion", "queue:mixed", KIND_ITEM, 1, false, ROUTE_QUEUE, NULL},
    {"orion", "queue:own", KIND_ITEM, 1, false, ROUTE_QUEUE, NULL},
    {"orion", "queue:shut", KIND_ITEM, 1, false, ROUTE_REFUSED,
     "orion may not send to any consumer of queue:shut"},
    {"iris", "orion", KIND_ITEM, 1, false, ROUTE_REFUSED, "orion takes no item"},
    {"iris", "queue:reviews", KIND_HANDOFF, 1, false, ROUTE_REFUSED, "queue:reviews takes no handoff"},
    {"mute", "segment:glossary", KIND_SEGMENT, 1, false, ROUTE_SEGMENT, NULL},
    {"iris", "segment:glossary", KIND_MESSAGE, 1, false, ROUTE_REFUSED, "segment:glossary takes no message"},
};

static void test_every_row_of_the_table(void **state)
{
    const struct roster *roster = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct fault why = {""};
        const struct envelope envelope = {
            .id = "x", .kind = row->kind, .from = "forged", .to = (char *)row->to, .hops = row->hops};
        const struct roster_agent *sender = row->from ? roster_find(roster, row->from) : NULL;
        enum route route = route_of(&envelope, sender, roster, row->answers, &why);
        if (route != row->route || (row->why && !strstr(why.text, row->why)))
            fail_msg("row %zu: route %d, '%s'", i, (int)route, why.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_row_of_the_table, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
