/* The supervisor from its start to its end.
 *
 *   agentos run                 one thread and nng's; epoll over signals, sockets, timers
 *    |- agentos-zygote          forks the workers; started before nng makes threads
 *    |- agentos-gateway         asks the model
 *    |- agentos-http            HTTP, by way of http_listener.c
 *    |- agentos-reader          one question of HTTP's about files, then its end; by way of file_readers.c
 *    |- agentos-mirror          pushes repositories, by way of mirror_link.c; only with AGENTOS_GIT_REMOTE
 *    |- agentos-bus             the connection to other nodes, by way of bus_link.c; only with AGENTOS_BUS
 *    |- agentos-worker NAME …   our children, by way of the zygote (we are their subreaper)
 */
#include "supervisor/run.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/capacity.h"
#include "common/clock.h"
#include "common/format/memory_group.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/threads.h"
#include "supervisor/agent/folders.h"
#include "supervisor/control/control.h"
#include "supervisor/control_wiring.h"
#include "supervisor/far_post.h"
#include "supervisor/http_listener.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/far_reads.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/move.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/notify/alerts.h"
#include "supervisor/postmaster.h"
#include "supervisor/process/clock_jumps.h"
#include "supervisor/process/ownership.h"
#include "supervisor/process/preflight.h"
#include "supervisor/process/service_manager.h"
#include "supervisor/run_dir.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"
#include "supervisor/zygote_link.h"

enum {
    HEARTBEAT_MS = 10 * 1000,
    LAST_KILL_MS = 5000,
    LAST_CLOSE_S = 2,
    TRIM_MS = 60 * 1000,
    SPARE_BYTES = 512 * 1024,
};

/* --- the gateway --- */

static bool gateway_says(void *context, const void *bytes, size_t length)
{
    struct supervisor *supervisor = context;
    return relay_gateway_says(supervisor->relay, bytes, length) ||
           alert_gateway_says(supervisor, bytes, length);
}

static void gateway_started(void *context)
{
    struct supervisor *supervisor = context;
    relay_gateway_started(supervisor->relay);
    alerts_gateway_started(supervisor->alerts.queue);
    control_event(supervisor->control, NULL, "gateway_started",
                  DETAIL_NUMBER("pid", supervisor->programs.gateway.pid));
}

/* An answer that is paid for may come, or lie in the sockets of a stopped gateway, for as long as a request may take:
 * the next gateway would pay for the question again. */
static int64_t patience_with_gateway(void *context)
{
    const struct supervisor *supervisor = context;
    int64_t request_ms = setting_integer(SET_LLM_TIMEOUT, NULL) * 1000;
    return relay_under_way(supervisor->relay) && request_ms > CHILD_PATIENCE_MS ? request_ms
                                                                                : CHILD_PATIENCE_MS;
}

static bool start_gateway(struct supervisor *supervisor)
{
    static char *arguments[] = {"agentos-gateway", "3", "4", NULL};
    return child_begin(&supervisor->programs.gateway, supervisor->loop,
                       &(struct child_plan){
                           .name = "gateway",
                           .component = "gateway",
                           .folder = supervisor->options->programs,
                           .arguments = arguments,
                           .environment = environ,
                           .extras = {supervisor->options->secrets, -1},
                           .message = gateway_says,
                           .started = gateway_started,
                           .patience_ms = patience_with_gateway,
                           .context = supervisor,
                       });
}

/* --- ending --- */

static void kill_everybody(struct supervisor *supervisor)
{
    supervisor->run.ending = true;
    for (size_t i = supervisor->agents.count; i-- > 0;)
        agent_order(supervisor->agents.list[i], EVENT_KILL, false);
}

static void end_timer_rings(void *context)
{
    struct supervisor *supervisor = context;
    if (supervisor->run.ending) {
        log_error("agentos", NULL, "Some workers can't be ended; the supervisor ends without them");
        loop_end(supervisor->loop);
        return;
    }
    kill_everybody(supervisor);
    timer_set(supervisor->loop, &supervisor->timers.end, LAST_KILL_MS);
}

/* All agents are asked at once, so the end takes as long as the slowest, and at most the grace. */
static void begin_ending(struct supervisor *supervisor, const char *why)
{
    if (supervisor->agents.ending) {
        log_warn("agentos", NULL, "%s again: the workers are killed", why);
        kill_everybody(supervisor);
        timer_set(supervisor->loop, &supervisor->timers.end, LAST_KILL_MS);
        return;
    }
    supervisor->agents.ending = true;
    control_event(supervisor->control, NULL, "supervisor_stopping", DETAIL_TEXT("why", why));
    notify_say(supervisor->notify, "STOPPING=1\nSTATUS=%s: work is finished or put down", why);
    log_info("agentos", NULL, "%s: stopping, within %lld s", why,
             (long long)supervisor->agents.grace_ms / 1000);
    timer_set(supervisor->loop, &supervisor->timers.end, supervisor->agents.grace_ms);
    for (size_t i = supervisor->agents.count; i-- > 0;)
        agent_order(supervisor->agents.list[i], EVENT_STOP, false);
    if (agents_all_down(&supervisor->agents))
        loop_end(supervisor->loop);
}

/* --- signals and timers --- */

static void reap(struct supervisor *supervisor)
{
    int status;
    siginfo_t ended = {0};
    /* A worker may have been made and have ended since the last turn: the zygote's message is heard before the end is
     * reaped. */
    child_drain(&supervisor->programs.zygote);
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0) {
        pid_t pid = ended.si_pid;
        audits_ended(supervisor->audits, pid);
        if (waitpid(pid, &status, WNOHANG) != pid)
            break;
        struct agent *agent = agents_of_process(&supervisor->agents, pid);
        if (agent)
            agent_exited(agent, status);
        else if (!child_reap(pid, status) && !http_listener_reap(supervisor->http, pid, status) &&
                 !far_reads_reap(supervisor->programs.reads, pid, status) &&
                 !move_reap(nodes_moves(supervisor->local.nodes), pid, status) &&
                 !audits_reap(supervisor->audits, pid, status))
            log_debug("agentos", NULL, "Reaped the orphan process %d", (int)pid);
    }
}

/* Workers have heartbeats for it. */
static void hear_of_stops(void)
{
    siginfo_t stopped = {0};
    while (waitid(P_ALL, 0, &stopped, WSTOPPED | WCONTINUED | WNOHANG) == 0 && stopped.si_pid > 0) {
        child_stopped(stopped.si_pid, stopped.si_code == CLD_STOPPED ? stopped.si_status : 0);
        stopped = (siginfo_t){0};
    }
}

static void reload(struct supervisor *supervisor)
{
    OWNED_BUFFER struct buffer said = {0};
    if (!supervisor->agents.ending)
        supervisor_reload(supervisor, &said);
}

static void on_signal(void *context, uint32_t events)
{
    (void)events;
    struct supervisor *supervisor = context;
    struct signalfd_siginfo info;
    while (read(supervisor->signals.fd, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap(supervisor);
            hear_of_stops();
            break;
        case SIGHUP:
            log_info("agentos", NULL, "SIGHUP: agents.yaml is read again");
            reload(supervisor);
            break;
        default:
            begin_ending(supervisor, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
        }
    }
}

/* The C library keeps the memory that a start, a listing or a storm has freed, many times the need of hibernating
 * agents. */
static void give_back_memory(struct supervisor *supervisor)
{
    int64_t now = clock_monotonic_ms();
    if (now - supervisor->timers.trimmed_ms < TRIM_MS || mallinfo2().fordblks < SPARE_BYTES)
        return;
    malloc_trim(0);
    supervisor->timers.trimmed_ms = now;
}

/* The safety scan in three parts, a turn of the loop each (the first takes several where it is long): a client of the
 * supervisor waits for one part, not for all. */
static void scan(void *context)
{
    struct supervisor *supervisor = context;
    unsigned part = supervisor->timers.scan_part++;
    if (part == 0 && !agents_scan(&supervisor->agents))
        supervisor->timers.scan_part = 0;
    else if (part == 1)
        agents_guard(&supervisor->agents);
    if (part < 2) {
        timer_set(supervisor->loop, &supervisor->timers.scan, 0);
        return;
    }
    supervisor->timers.scan_part = 0;
    warm_scan(&supervisor->agents);
    file_leases_scan(&supervisor->agents, &supervisor->run.leases);
    run_dir_scan(supervisor);
    disk_limit_scan(supervisor->agents.disk);
    roster_file_scan(supervisor);
    post_scan(supervisor->post);
    shared_state_scan(supervisor->shared);
    budget_gate_look(supervisor->budget_gate);
    schedule_look(supervisor->schedule);
    give_back_memory(supervisor);
    timer_set(supervisor->loop, &supervisor->timers.scan, supervisor->agents.poll_seconds * 1000);
}

static int64_t heartbeat_ms(const struct supervisor *supervisor)
{
    return supervisor->options->heartbeat_ms ? supervisor->options->heartbeat_ms : HEARTBEAT_MS;
}

static void beat(void *context)
{
    struct supervisor *supervisor = context;
    struct agent *agent;
    supervisor->timers.beats++;
    LIST_FOREACH(agent, &supervisor->agents.found.living, found.living_link)
    agent_heartbeat(agent, supervisor->timers.beats);
    timer_set(supervisor->loop, &supervisor->timers.heartbeat, heartbeat_ms(supervisor));
}

static void one_changed(void *subject, uint64_t look)
{
    postmaster_tree_changed(subject, look);
}

static bool put_there(void *subject, const char *folder, const char *name)
{
    const struct agent *agent = subject;
    return post_knows(supervisor_of(agent)->post, agent->name, folder, name);
}

static void top_changed(void *subject)
{
    struct agent *agent = subject;
    agent->guard.top_quiet = false;
}

static void all_changed(void *context)
{
    struct supervisor *supervisor = context;
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        top_changed(supervisor->agents.list[i]);
        postmaster_tree_changed(supervisor->agents.list[i], LOOK_ALL);
    }
}

static void clock_was_set(void *context)
{
    struct supervisor *supervisor = context;
    for (size_t i = 0; i < supervisor->agents.count; i++)
        agent_look(supervisor->agents.list[i], LOOK_QUEUE);
    post_clock_was_set(supervisor->post);
    budget_gate_look(supervisor->budget_gate);
    schedule_look(supervisor->schedule);
}

static void roster_changed(void *context)
{
    roster_file_changed(context);
}

static void shared_changed(void *context)
{
    struct supervisor *supervisor = context;
    shared_state_changed(supervisor->shared);
}

/* --- the start --- */

static bool take_signals(struct supervisor *supervisor)
{
    sigset_t set;
    sigemptyset(&set);
    const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        sigaddset(&set, taken[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    supervisor->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signals.fd >= 0)
        supervisor->signals.watch =
            loop_watch(supervisor->loop, supervisor->signals.fd, EPOLLIN, on_signal, supervisor);
    return supervisor->signals.watch != NULL;
}

/* The sockets' folder. A path may be longer than a socket's address (switchboard.c). */
static bool open_switchboard(struct supervisor *supervisor, struct fault *fault)
{
    if (!threads_for_nng(fault) || !run_dir_begin(supervisor, fault))
        return false;
    OWNED char *folder = memory_print("%s/w", supervisor->options->run_dir);
    supervisor->agents.switchboard = switchboard_open(supervisor->loop, folder, fault);
    return supervisor->agents.switchboard != NULL;
}

static void begin_local(struct supervisor *supervisor)
{
    supervisor->local = (struct local_node){.loop = supervisor->loop,
                                            .data = supervisor->data,
                                            .data_dir = supervisor->options->data_dir,
                                            .programs = supervisor->options->programs,
                                            .roster = &supervisor->roster,
                                            .agents = &supervisor->agents};
}

static bool start_parts(struct supervisor *supervisor, struct fault *fault)
{
    begin_local(supervisor);
    supervisor_begin_asking(supervisor);
    supervisor_begin_alerts(supervisor);
    /* Before nng makes threads; later starts of these programs exec, so nng's threads do them no harm. */
    if (!zygote_link_open(supervisor) || !start_gateway(supervisor))
        return fault_set(fault, "The programs in %s can't be started", supervisor->options->programs);
    if (!open_switchboard(supervisor, fault))
        return false;
    supervisor->agents.watch =
        watch_open(supervisor->loop, &(struct watch_owner){.changed = one_changed,
                                                           .top_changed = top_changed,
                                                           .all_changed = all_changed,
                                                           .roster_changed = roster_changed,
                                                           .shared_changed = shared_changed,
                                                           .put_there = put_there,
                                                           .context = supervisor});
    watch_roster(supervisor->agents.watch, supervisor->data);
    supervisor->post = supervisor->local.post = postmaster_open(supervisor);
    supervisor->shared = shared_state_open(supervisor);
    supervisor->local.nodes =
        nodes_open(&supervisor->local, far_post_lives, shared_state_queues(supervisor->shared));
    supervisor->timers.wallclock = wallclock_open(supervisor->loop, clock_was_set, supervisor);
    supervisor->programs.reads = far_reads_new(&supervisor->local, control_wiring_told, supervisor);
    supervisor->control = control_wiring_open(supervisor, fault);
    if (supervisor->control)
        supervisor->http = http_listener_open(supervisor);
    return supervisor->control != NULL;
}

static void start_agents(struct supervisor *supervisor)
{
    const struct roster *roster = supervisor->roster;
    supervisor->local.bus = bus_link_open(&supervisor->local);
    far_post_open(supervisor);
    nodes_begin(supervisor->local.nodes);
    agents_begin(&supervisor->agents);
    warm_limit(&supervisor->agents, (size_t)roster->warm_workers);
    for (size_t i = 0; i < roster->agent_count; i++)
        nodes_agent(supervisor->local.nodes, agents_add(&supervisor->agents, &roster->agents[i]));
    post_start(supervisor->post);
    shared_state_start(supervisor->shared);
    supervisor->schedule = schedule_open(supervisor);
    schedule_apply(supervisor->schedule);
    supervisor->local.mirror = mirror_link_open(&supervisor->local);
    begin_all(&supervisor->agents);
    supervisor_settled(supervisor);
}

static void start_timers(struct supervisor *supervisor)
{
    supervisor->timers.scan = (struct timer){.ring = scan, .context = supervisor};
    supervisor->timers.heartbeat = (struct timer){.ring = beat, .context = supervisor};
    supervisor->timers.end = (struct timer){.ring = end_timer_rings, .context = supervisor};
    timer_set(supervisor->loop, &supervisor->timers.scan, supervisor->agents.poll_seconds * 1000);
    timer_set(supervisor->loop, &supervisor->timers.heartbeat, heartbeat_ms(supervisor));
}

/* nng's close has been seen to hang. Every worker is down by then and the files are whole, so nothing is lost. */
static void end_anyway(int signal)
{
    (void)signal;
    _exit(EX_OK);
}

/* The zygote and the gateway have nothing to finish: their channels close, and a process that doesn't end by that is
 * killed. */
static void end_parts(struct supervisor *supervisor)
{
    struct child *const children[] = {&supervisor->programs.zygote, &supervisor->programs.gateway};
    signal(SIGALRM, end_anyway);
    alarm(LAST_CLOSE_S);
    for (size_t i = 0; i < 2; i++)
        if (children[i]->loop)
            child_stop(children[i]);
    http_listener_close(supervisor->http);
    supervisor->http = NULL;
    mirror_link_close(supervisor->local.mirror);
    supervisor->local.mirror = NULL;
    bus_link_close(supervisor->local.bus);
    supervisor->local.bus = NULL;
    control_close(supervisor->control);
    supervisor->control = NULL;
    far_reads_free(supervisor->programs.reads);
    supervisor->programs.reads = NULL;
    shared_state_close(supervisor->shared);
    post_close(supervisor->post);
    disk_limit_close(supervisor->agents.disk);
    begin_stop(&supervisor->agents);
    agents_free(&supervisor->agents);
    nodes_close(supervisor->local.nodes);
    for (size_t i = 0; i < 2; i++)
        child_end(children[i], 0);
    switchboard_close(supervisor->agents.switchboard);
    watch_close(supervisor->agents.watch);
    wallclock_close(supervisor->timers.wallclock);
    supervisor_end_asking(supervisor);
    supervisor_end_alerts(supervisor);
    schedule_close(supervisor->schedule);
    roster_file_end(supervisor);
    memory_close_at(&supervisor->notes);
    for (size_t i = 0; i < 2; i++)
        memory_close_at(&supervisor->programs.zygote_logs[i]);
    free(supervisor->programs.zygote_environment);
    alarm(0);
}

static int supervise(struct supervisor *supervisor)
{
    struct fault fault;
    int status = EX_OK;
    supervisor->loop = supervisor->agents.loop = loop_new();
    if (!supervisor->loop || !take_signals(supervisor))
        return log_error("agentos", NULL, "Cannot make the event loop: %s", strerror(errno)), EX_OSERR;
    start_timers(supervisor);
    supervisor->agents.memory_groups = memory_groups_open(supervisor->options->data_dir, NULL);
    supervisor->agents.disk = disk_limit_open(&supervisor->agents);
    /* Before there are children to inherit the variable. */
    supervisor->notify = notify_open(supervisor->loop);
    if (start_parts(supervisor, &fault)) {
        start_agents(supervisor);
        loop_run(supervisor->loop);
        log_info("agentos", NULL, "AgentOS has stopped");
    } else {
        log_error("agentos", NULL, "%s. The supervisor ends.", fault.text);
        status = EX_OSERR;
    }
    end_parts(supervisor);
    memory_groups_close(supervisor->agents.memory_groups);
    notify_close(supervisor->notify);
    loop_forget(supervisor->loop, supervisor->signals.watch);
    close(supervisor->signals.fd);
    loop_free(supervisor->loop);
    return status;
}

int supervisor_run(const struct run_options *options)
{
    struct fault fault;
    struct ownership ownership;
    struct supervisor supervisor = {
        .options = options,
        .ownership = &ownership,
        .agents = {.callbacks = &supervisor_agent_callbacks,
                   .context = &supervisor,
                   .zygote = &supervisor.programs.zygote,
                   .data_dir = options->data_dir,
                   .poll_seconds = setting_integer(SET_POLL_INTERVAL, NULL),
                   .found.workers_fork = sandbox_mode() != SANDBOX_REQUIRE,
                   .grace_ms = setting_integer(SET_STOP_GRACE, NULL) * 1000},
        .notes = -1,
        .programs.zygote_logs = {-1, -1},
        .run.started_at = clock_monotonic_ms(),
    };
    int status = preflight_sandbox(options->data_dir);
    if (status != EX_OK) {
        if (options->secrets >= 0)
            close(options->secrets);
        return status;
    }
    status = ownership_take(&ownership, options->data_dir, options->run_dir, &fault);
    if (status != EX_OK)
        return log_error("agentos", NULL, "%s", fault.text), status;
    log_keep(ownership.run);
    roster_file_begin(&supervisor);
    status = preflight_roster(options->data_dir, options->secrets, &supervisor.roster);
    if (status == EX_OK) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        capacity_raise_descriptors();
        preflight_say_model();
        preflight_capacity(supervisor.roster);
        supervisor.data = supervisor.agents.data = ownership.data;
        trees_sweep(supervisor.data);
        status = preflight_format(supervisor.data);
        if (status == EX_OK)
            status = supervise(&supervisor);
        roster_free(supervisor.roster);
    }
    log_keep(-1);
    ownership_end(&ownership);
    if (options->secrets >= 0)
        close(options->secrets);
    return status;
}
