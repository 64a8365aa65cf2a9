/* agents.yaml has changed: a new agent is started, a missing one is drained and stopped, a redefined one is told;
 * nobody else notices. A file with a fault changes nothing. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/format/config_warnings.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/control/control.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/notify/alerts.h"
#include "supervisor/post/post.h"
#include "supervisor/process/service_manager.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"

enum {
    SETTLE_MS = 100,         /* from a notice of a change to a look at the file */
    SCANNED_SETTLE_MS = 1000 /* from a change that the scan found to a look at the file */
};

static void report(struct buffer *said, const char *what, const char *name)
{
    log_info("agentos", NULL, "agents.yaml: agent '%s' %s", name, what);
    buffer_print(said, "agent '%s' %s\n", name, what);
}

/* "agents.yaml is refused, and the agents go on as they were defined: agents.yaml:3:5: … (and 2 more faults)" */
static void note_fault(struct supervisor *supervisor, const char *faults)
{
    size_t first = strcspn(faults, "\n"), more = 0;
    for (const char *line = faults + first; *line; line++)
        more += *line == '\n' && line[1] != '\0';
    OWNED char *others = more ? memory_print(" (and %zu more)", more) : memory_text("");
    free(supervisor->roster_file.fault);
    supervisor->roster_file.fault =
        memory_print("agents.yaml is refused, and the agents go on as they were defined: %.*s%s", (int)first,
                     faults, others);
}

static void note_repair(struct supervisor *supervisor, struct buffer *said)
{
    if (!supervisor->roster_file.fault)
        return;
    log_info("agentos", NULL, "agents.yaml is right again");
    buffer_text(said, "agents.yaml is right again\n");
    free(supervisor->roster_file.fault);
    supervisor->roster_file.fault = NULL;
}

static void refuse(const struct buffer *faults, struct buffer *said)
{
    for (const char *line = faults->data; line && *line;) {
        int length = (int)strcspn(line, "\n");
        log_error("agentos", NULL, "%.*s", length, line);
        line += length + (line[length] == '\n');
    }
    log_error("agentos", NULL,
              "agents.yaml is refused, nothing was changed; the agents go on as they were defined");
    buffer_print(said, "%sagents.yaml is refused; nothing was changed\n", faults->data ? faults->data : "");
}

static void remove_agent(struct agent *agent, struct buffer *said)
{
    report(said, "was taken out; it is drained and stopped, its directory stays", agent->name);
    agent->leaving = true;
    post_agent_leaves(supervisor_of(agent)->post, agent->name);
    agent_order(agent, EVENT_STOP, false);
}

static void apply_to(struct agent *agent, const struct roster_agent *definition, struct buffer *said)
{
    bool was_leaving = agent->leaving;
    agent->leaving = false;
    if (agent_redefine(agent, definition)) {
        report(said, "was redefined", agent->name);
        nodes_agent(supervisor_of(agent)->local.nodes, agent);
    }
    if (was_leaving) {
        post_agent(supervisor_of(agent)->post, agent->name, agent, agent->definition);
        report(said, "is back; it is started again", agent->name);
        agent_order(agent, EVENT_START, false);
    }
}

static void add_agent(struct supervisor *supervisor, const struct roster_agent *definition,
                      struct buffer *said)
{
    struct agent *agent = agents_add(&supervisor->agents, definition);
    nodes_agent(supervisor->local.nodes, agent);
    agent_begin(agent);
    report(said,
           agent->order.elsewhere         ? "is new; it runs on another node"
           : agent->order.desired.stopped ? "is new; it stays stopped, as ordered"
                                          : "is new; it is started",
           agent->name);
}

static void remove_missing(struct supervisor *supervisor, const struct roster *roster, struct buffer *said)
{
    for (size_t i = supervisor->agents.count; i-- > 0;) {
        struct agent *agent = supervisor->agents.list[i];
        if (!roster_find(roster, agent->name) && !agent->leaving)
            /* remove_agent may free the agent, when it has no process: so backwards. */
            remove_agent(agent, said);
    }
}

/* Warnings about a roster that was applied, and yet is probably not meant so. */
static void warn(const struct supervisor *supervisor, struct buffer *said)
{
    OWNED_BUFFER struct buffer warnings = {0};
    config_warnings_file(supervisor->roster, supervisor->options->data_dir, &warnings);
    for (const char *line = warnings.data; line && *line;) {
        int length = (int)strcspn(line, "\n");
        log_warn("agentos", NULL, "%.*s", length, line);
        buffer_print(said, "warning: %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

/* Links are followed, as they are when the file is read. All zero: there is no file. */
static struct file_stamp look_at_file(const struct supervisor *supervisor)
{
    struct stat status;
    OWNED char *path = memory_print("%s/agents.yaml", supervisor->options->data_dir);
    return stat(path, &status) == 0 ? files_stamp(&status) : (struct file_stamp){0};
}

static bool apply(struct supervisor *supervisor, struct buffer *said)
{
    OWNED_BUFFER struct buffer faults = {0};
    supervisor->roster_file.read =
        look_at_file(supervisor); /* before the reading: a change during it is another state */
    struct roster *roster = roster_load(supervisor->options->data_dir, &faults);
    if (roster && !roster_secrets(roster, &faults)) {
        roster_free(roster);
        roster = NULL;
    }
    if (!roster) {
        note_fault(supervisor, faults.data ? faults.data : "");
        refuse(&faults, said);
        control_event(supervisor->control, NULL, "reload_refused", DETAIL_TEXT("said", said->data));
        return false;
    }
    note_repair(supervisor, said);
    remove_missing(supervisor, roster, said);
    for (size_t i = 0; i < roster->agent_count; i++) {
        struct agent *agent = agents_find(&supervisor->agents, roster->agents[i].name);
        if (agent)
            apply_to(agent, &roster->agents[i], said);
        else
            add_agent(supervisor, &roster->agents[i], said);
    }
    warm_limit(&supervisor->agents, (size_t)roster->warm_workers);
    post_roster(supervisor->post, roster);
    shared_state_roster(supervisor->shared, roster);
    alerts_roster(supervisor->alerts.queue, roster);
    roster_free(supervisor->roster);
    supervisor->roster = roster;
    budget_gate_look(supervisor->budget_gate);
    schedule_apply(supervisor->schedule);
    if (!said->length)
        buffer_text(said, "agents.yaml says nothing new\n");
    warn(supervisor, said);
    control_event(supervisor->control, NULL, "reload_applied", DETAIL_TEXT("said", said->data));
    return true;
}

bool supervisor_reload(struct supervisor *supervisor, struct buffer *said)
{
    notify_reloading(supervisor->notify);
    bool applied = apply(supervisor, said);
    notify_say(supervisor->notify, "READY=1\nSTATUS=Supervising %zu agent(s)%s", supervisor->agents.count,
               applied ? "" : "; agents.yaml has a fault and was refused");
    return applied;
}

/* --- changes of the file --- */

/* An editor writes a file in several steps, and a scan may come between them: the file is read when it stands as at
 * the last look. */
static void timer_rings(void *context)
{
    struct supervisor *supervisor = context;
    struct roster_file *file = &supervisor->roster_file;
    OWNED_BUFFER struct buffer said = {0};
    struct file_stamp now = look_at_file(supervisor);
    bool settled = files_stamp_equal(&now, &file->seen);
    file->seen = now;
    if (supervisor->agents.ending)
        return;
    if (settled)
        supervisor_reload(supervisor, &said);
    else
        timer_set(supervisor->loop, &file->timer, SETTLE_MS);
}

void roster_file_begin(struct supervisor *supervisor)
{
    supervisor->roster_file.timer = (struct timer){.ring = timer_rings, .context = supervisor};
    supervisor->roster_file.read = look_at_file(supervisor);
}

void roster_file_changed(struct supervisor *supervisor)
{
    supervisor->roster_file.seen = look_at_file(supervisor);
    timer_set(supervisor->loop, &supervisor->roster_file.timer, SETTLE_MS);
}

/* After a change that no notice told of, the file's writer may still be at work, so more time goes by before the file
 * is read. */
void roster_file_scan(struct supervisor *supervisor)
{
    struct roster_file *file = &supervisor->roster_file;
    struct file_stamp now = look_at_file(supervisor);
    if (file->timer.place || files_stamp_equal(&now, &file->read))
        return;
    file->seen = now;
    timer_set(supervisor->loop, &file->timer, SCANNED_SETTLE_MS);
}

void roster_file_end(struct supervisor *supervisor)
{
    timer_clear(supervisor->loop, &supervisor->roster_file.timer);
    free(supervisor->roster_file.fault);
}
