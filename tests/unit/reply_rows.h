/* A model's reply and all that comes of it, as a row of text. */
#ifndef AGENTOS_TESTS_UNIT_REPLY_ROWS_H
#define AGENTOS_TESTS_UNIT_REPLY_ROWS_H

#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/reply/reply.h"

/* want: "answer: …", then reward and reason, then a line for each part that was used; "told" last when there is a
 * fault. */
struct row {
    const char *name, *reply, *want;
};

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

static void print_sends(const struct reply *reply, struct buffer *out)
{
    for (size_t i = 0; i < reply->send_count; i++) {
        const struct reply_send *send = &reply->sends[i];
        buffer_print(out, "\n%s %s: %s", envelope_kind_name(send->kind), send->to, send->text);
        if (send->priority != PRIORITY_NORMAL)
            buffer_print(out, " (%s)", priority_name(send->priority));
        if (send->ttl_seconds >= 0)
            buffer_print(out, " (%lld s)", (long long)send->ttl_seconds);
    }
    for (size_t i = 0; i < reply->segment_count; i++)
        buffer_print(out, "\nsegment %s@%lld: %s", reply->segments[i].name,
                     (long long)reply->segments[i].base_version, reply->segments[i].body);
}

static char *print(const struct reply *reply)
{
    struct buffer out = {0};
    buffer_print(&out, "answer: %s\n%s %s", reply->answer,
                 reply->reward > 0   ? "+1"
                 : reply->reward < 0 ? "-1"
                                     : "0",
                 or_none(reply->reason));
    if (reply->reflection)
        buffer_print(&out, "\nreflection: %s", reply->reflection);
    if (reply->skill.name)
        buffer_print(&out, "\nskill: %s | %s | %s", reply->skill.name, or_none(reply->skill.description),
                     or_none(reply->skill.body));
    for (size_t i = 0; i < reply->goals_add.count; i++)
        buffer_print(&out, "\ngoal: %s", reply->goals_add.items[i]);
    for (size_t i = 0; i < reply->goals_done.count; i++)
        buffer_print(&out, "\ndone: %s", reply->goals_done.items[i]);
    print_sends(reply, &out);
    if (reply->faults)
        buffer_text(&out, "\ntold");
    return buffer_take(&out);
}

/* Each row's reply has the meaning that the row wants; every failing row is printed. */
static void check_rows(const struct row *rows, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        struct reply reply;
        reply_parse(&reply, rows[i].reply, strlen(rows[i].reply), "stop");
        OWNED char *got = print(&reply);
        if (strcmp(got, rows[i].want) != 0) {
            wrong++;
            print_error("--- %s\n%s\n--- wanted\n%s\n--- faults: %s\n", rows[i].name, got, rows[i].want,
                        or_none(reply.faults));
        }
        reply_free(&reply);
    }
    assert_int_equal(wrong, 0);
}

#endif
