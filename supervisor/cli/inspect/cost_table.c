#include "supervisor/cli/inspect/cost_table.h"

#include <stdio.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "supervisor/cli/terminal/output.h"

enum { COLUMNS = 9, NUMBERS = 6 };

static void add_numbers(struct table *table, const struct question_usage *usage)
{
    const uint64_t numbers[] = {usage->tokens_in, usage->tokens_out, usage->tokens_in + usage->tokens_out,
                                usage->cached, usage->requests};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        table_cellf(table, "%llu", (unsigned long long)numbers[i]);
    if (usage->cost != USAGE_NO_COST)
        table_cellf(table, "%.6f", (double)usage->cost / USAGE_COST_UNIT);
    else
        table_cell(table, NULL);
}

static void add_row(struct table *table, const struct hand *hand)
{
    table_cell(table, hand->agent);
    table_cell(table, hand->id);
    if (hand->state == HAND_KNOWN)
        add_numbers(table, &hand->usage);
    else
        for (size_t i = 0; i < NUMBERS; i++)
            table_cell(table, i == 2 ? hand_state_name(hand->state) : NULL);
    struct buffer note OWNED_BUFFER = {0};
    if (hand->answers > 1)
        buffer_print(&note, "done %zu times", hand->answers);
    if (hand->audit_tokens > 0)
        buffer_print(&note, "%s%llu tokens for its audit", note.length > 0 ? ", " : "",
                     (unsigned long long)hand->audit_tokens);
    table_cell(table, note.length > 0 ? note.data : NULL);
}

void cost_show(const struct cost *cost)
{
    static const char *const HEADS[COLUMNS] = {"AGENT",   "TASK",      ">TOKENS IN", ">OUT", ">SUM",
                                               ">CACHED", ">REQUESTS", ">COST",      "NOTE"};
    struct cost_total total = cost_total(cost);
    OWNED char *trace = output_clean(cost->trace, 0);
    struct table table;
    if (cost->count == 0)
        return;
    printf("\nwhat the trace %s cost\n", trace);
    table_begin(&table, HEADS, COLUMNS);
    for (size_t i = 0; i < cost->count; i++)
        add_row(&table, &cost->hands[i]);
    table_cell(&table, "all");
    table_cell(&table, NULL);
    add_numbers(&table, &total.usage);
    table_cell(&table, total.complete ? NULL : "at least: what is unknown is not in it");
    table_show(&table);
}
