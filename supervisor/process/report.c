#include "supervisor/process/report.h"

#include <stdarg.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/memory.h"

enum { AT_ONCE = 64 * 1024 /* bytes of messages that don't wait for the end of the turn */ };

struct report {
    struct loop *loop;
    struct channel channel;
    struct timer turn_ends; /* set while messages wait for the end of this turn */
    struct loop_watch *watch;
    struct report_owner owner;
    enum party party;
    bool writing; /* the loop waits for room in the channel */
    bool behind;
};

static void update(struct report *report)
{
    size_t left = report->channel.out.bytes;
    bool writing = left > 0;
    if (writing != report->writing)
        loop_change(report->loop, report->watch, EPOLLIN | (writing ? EPOLLOUT : 0u));
    report->writing = writing;
    if (report->behind ? left > 0 : left < REPORT_BEHIND)
        return;
    report->behind = !report->behind;
    if (report->owner.behind)
        report->owner.behind(report->owner.context, report->behind);
}

static bool hear(struct report *report)
{
    const void *bytes;
    size_t length;
    while (channel_next(&report->channel, &bytes, &length)) {
        struct reader reader;
        unsigned type = 0;
        if (message_receive(&reader, bytes, length, PARTY_SUPERVISOR, report->party, &type) &&
            report->owner.hear(report->owner.context, type, &reader))
            continue;
        log_error("agentos", NULL,
                  "the supervisor sent a message that isn't understood (%s); this process ends",
                  message_name(type));
        return false;
    }
    return true;
}

/* The end of the supervisor's channel ends this process, once its last messages are out; a message that isn't
 * understood ends it, too. */
static void on_channel(void *context, uint32_t events)
{
    struct report *report = context;
    if (events & EPOLLOUT)
        channel_flush(&report->channel);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        bool open = channel_fill(&report->channel), right = hear(report);
        if ((!open || !right) && report->owner.ends)
            report->owner.ends(report->owner.context);
        if (!open || !right) {
            channel_flush(&report->channel);
            _exit(EX_OK);
        }
    }
    update(report);
}

void report_flush(struct report *report)
{
    timer_clear(report->loop, &report->turn_ends);
    channel_flush(&report->channel);
    update(report);
}

static void on_turn_end(void *context)
{
    report_flush(context);
}

struct report *report_open(struct loop *loop, int channel, enum party party, const struct report_owner *owner)
{
    struct report *report = memory_new(1, sizeof *report);
    report->loop = loop;
    report->owner = *owner;
    report->party = party;
    report->turn_ends = (struct timer){.ring = on_turn_end, .context = report};
    channel_open(&report->channel, channel);
    report->watch = loop_watch(loop, channel, EPOLLIN, on_channel, report);
    return report->watch ? report : NULL;
}

bool report_pending(const struct report *report)
{
    return channel_pending(&report->channel);
}

void report_send(struct report *report, enum message_type type, ...)
{
    OWNED_BUFFER struct buffer message = {0};
    va_list fields;
    va_start(fields, type);
    message_make_list(&message, type, fields);
    va_end(fields);
    channel_queue(&report->channel, &message);
    if (report->channel.out.bytes >= AT_ONCE)
        report_flush(report);
    else
        timer_set(report->loop, &report->turn_ends, 0);
}
