#include "supervisor/cli/inspect/cost_table.h"

#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "supervisor/cli/terminal/output.h"

enum { COLUMNS = 9, NUMBERS = 6, SUM = 2 };

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void add_numbers(struct table *table, const json_t *object)
{
    static const char *const KEYS[] = {"tokens_in", "tokens_out", "tokens", "cached_tokens", "requests"};
    const json_t *cost = json_object_get(object, "cost");
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
        table_number(table, number_of(object, KEYS[i]));
    if (json_is_number(cost))
        table_cellf(table, "%.6f", json_number_value(cost));
    else
        table_cell(table, NULL);
}

static void add_row(struct table *table, const json_t *hand)
{
    const char *state = json_string_value(json_object_get(hand, "state"));
    struct buffer note OWNED_BUFFER = {0};
    table_cell(table, json_string_value(json_object_get(hand, "agent")));
    table_cell(table, json_string_value(json_object_get(hand, "id")));
    if (state != NULL && strcmp(state, "known") == 0)
        add_numbers(table, hand);
    else
        for (size_t i = 0; i < NUMBERS; i++)
            table_cell(table, i == SUM ? state : NULL);
    if (number_of(hand, "answers") > 1)
        buffer_print(&note, "done %lld times", number_of(hand, "answers"));
    if (number_of(hand, "audit_tokens") > 0) {
        buffer_print(&note, "%s%lld tokens for its audit", note.length > 0 ? ", " : "",
                     number_of(hand, "audit_tokens"));
    }
    table_cell(table, note.length > 0 ? note.data : NULL);
}

void cost_show(const json_t *cost)
{
    static const char *const HEADS[COLUMNS] = {"AGENT",   "TASK",      ">TOKENS IN", ">OUT", ">SUM",
                                               ">CACHED", ">REQUESTS", ">COST",      "NOTE"};
    const json_t *hands = json_object_get(cost, "hands"), *hand = NULL;
    const char *named = json_string_value(json_object_get(cost, "trace"));
    OWNED char *trace = output_clean(named != NULL ? named : "", 0);
    struct table table;
    size_t index = 0;
    if (json_array_size(hands) == 0)
        return;
    printf("\nwhat the trace %s cost\n", trace);
    table_begin(&table, HEADS, COLUMNS);
    json_array_foreach(hands, index, hand) add_row(&table, hand);
    table_cell(&table, "all");
    table_cell(&table, NULL);
    add_numbers(&table, cost);
    table_cell(&table, json_is_true(json_object_get(cost, "complete"))
                           ? NULL
                           : "at least: unknown costs are not in the sum");
    table_show(&table);
}
