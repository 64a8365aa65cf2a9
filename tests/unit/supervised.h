/* A whole supervisor for tests, with workers and a gateway that are this very test program.
 *
 * The programs' folder holds links to the test: started as agentos-worker it is a zygote whose workers behave as their
 * agent's name says (worker_live below); started as agentos-gateway it answers every question with its own text.
 * Include it in one test, and call supervised_main first in main. */
#ifndef AGENTOS_TESTS_SUPERVISED_H
#define AGENTOS_TESTS_SUPERVISED_H

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/control.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "supervisor/run.h"
#include "tests/unit/cmocka.h"
#include "worker/cycle/start.h"
#include "worker/cycle/supervisor_link.h"
#include "worker/zygote.h"

/* --- the worker: its agent's name says how it behaves --- */

static struct buffer worker_message;

static inline void worker_tells(struct link *link, enum message_type type, ...)
{
    va_list fields;
    va_start(fields, type);
    message_make_list(&worker_message, type, fields);
    va_end(fields);
    link_send(link, &worker_message);
}

static inline bool is_called(const struct worker_start *start, const char *beginning)
{
    return strncmp(start->agent->name, beginning, strlen(beginning)) == 0;
}

static inline void worker_works(struct link *link, const struct worker_start *start)
{
    worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WORKING, "task", (uint64_t)0);
    if (!is_called(start, "slow"))
        worker_tells(link, MESSAGE_ASK, (uint64_t)7, "somebody-else", "system", "task", MESSAGE_NOWHERE,
                     MESSAGE_NOWHERE, MESSAGE_NOWHERE, MESSAGE_NOWHERE, (uint64_t)0);
}

/* The same process once more at its socket, with a lie. */
static inline void worker_connects_again(const struct worker_start *start)
{
    struct link *second = link_open(start->url, NULL);
    if (!second)
        return;
    worker_tells(second, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WAITING, "a lie", (uint64_t)0);
    link_close(second);
}

/* A byte for each heartbeat, for the test to count. */
static inline void worker_counts_the_heartbeat(const struct worker_start *start)
{
    OWNED char *path = memory_print("%s/agents/%s/beats", start->data_dir, start->agent->name);
    OWNED_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, "b", 1) != 1)
        abort();
}

/* Asked to leave for lack of work. False: the worker ends; a worker called "called" has changed its queue.md before, a
 * worker called "alarmed" has only had the file open, and neither reads the LOOK that follows. */
static inline bool worker_rests(struct link *link, const struct worker_start *start)
{
    OWNED char *path = memory_print("%s/agents/%s/queue.md", start->data_dir, start->agent->name);
    struct pollfd look = {.fd = link_fd(link), .events = POLLIN};
    bool alarmed = is_called(start, "alarmed");
    OWNED_FD int queue =
        is_called(start, "called") ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (alarmed)
        close(open(path, O_WRONLY | O_CLOEXEC));
    if ((queue >= 0 && write(queue, "x", 1) != 1) || ((queue >= 0 || alarmed) && poll(&look, 1, -1) < 0))
        abort();
    return queue < 0 && !alarmed && !is_called(start, "rester") && !is_called(start, "worried");
}

/* False: the worker ends. */
static inline bool worker_hears(struct link *link, const struct worker_start *start, unsigned type,
                                struct reader *reader)
{
    uint64_t number = 0;
    OWNED char *text = NULL;
    switch (type) {
    case MESSAGE_STOP:
        return is_called(start, "stubborn");
    case MESSAGE_HEARTBEAT:
        message_read(reader, MESSAGE_HEARTBEAT, &number);
        worker_counts_the_heartbeat(start);
        worker_tells(link, MESSAGE_ALIVE, is_called(start, "parrot") ? (uint64_t)0 : number);
        return true;
    case MESSAGE_PAUSE:
        message_read(reader, MESSAGE_PAUSE, &number);
        if (is_called(start, "double")) /* the answer to HELLO: the first connection stands */
            worker_connects_again(start);
        if (is_called(start, "mumbler"))
            worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WORKING, "\xff\xfe", (uint64_t)0);
        else
            worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)(number ? ACTIVITY_PAUSED : ACTIVITY_IDLE), "",
                         (uint64_t)0);
        return true;
    case MESSAGE_CANCEL:
        message_read(reader, MESSAGE_CANCEL, &number, &text);
        worker_tells(link, MESSAGE_CANCELLED, number, (uint64_t)(text && strcmp(text, "known") == 0));
        return true;
    case MESSAGE_REST:
        return worker_rests(link, start);
    case MESSAGE_LOOK:
        worker_works(link, start);
        return true;
    case MESSAGE_ANSWER:
        /* The gateway answers with the name that the supervisor gave it: the name becomes the task's id. */
        {
            OWNED char *agent = NULL, *finish = NULL, *model = NULL, *provider = NULL;
            uint64_t serial, kind, in, out, retry, answered, cached, requests, cost;
            if (message_read(reader, MESSAGE_ANSWER, &serial, &agent, &kind, &text, &finish, &model, &in,
                             &out, &provider, &retry, &answered, &cached, &requests, &cost) &&
                serial == 7)
                worker_tells(link, MESSAGE_FINISHED, text, (uint64_t)2, "0123abc", in, out, "done", "");
            worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_IDLE, "", (uint64_t)0);
        }
        return true;
    default:
        return true;
    }
}

static inline void worker_sends_bytes(struct link *link, const void *bytes, size_t length)
{
    OWNED_BUFFER struct buffer message = {0};
    buffer_add(&message, bytes, length);
    link_send(link, &message);
}

/* Messages that no worker may send; agents are called after them. */
static const struct {
    const char *name, *bytes;
    size_t length;
} forbidden[] = {
#define FORBIDDEN(name, bytes)                                                                               \
    {                                                                                                        \
        name, bytes, sizeof bytes - 1                                                                        \
    }
    FORBIDDEN("liar", "\x01\x00\x0c\x00 not as it should be"),
    FORBIDDEN("empty", ""),
    FORBIDDEN("torn", "\x01\x00"),
    FORBIDDEN("unknown", "\x01\x00\xe7\x03"),
    FORBIDDEN("trailing", "\x01\x00\x0b\x00 and more"),
    FORBIDDEN("version", "\x09\x00\x0b\x00"),
    FORBIDDEN("beyond", "\x01\x00\x0e\x00\xff\xff\xff\xffproblems"),
    FORBIDDEN("nul", "\x01\x00\x0e\x00\x03\x00\x00\x00"
                     "a\x00"
                     "b"),
    FORBIDDEN("nested", "\x01\x00\x3c\x00\x04\x00\x00\x00\x01\x00\x3c\x00"),
    FORBIDDEN("hidden", "\x01\x00\x3c\x00\x04\x00\x00\x00\x01\x00\xe7\x03"),
    FORBIDDEN("cut", "\x01\x00\x3c\x00\xff\xff\x00\x00"),
    FORBIDDEN("twice", "\x01\x00\x0a\x00\x05\x00\x00\x00twice\x01\x00\x00\x00\x00\x00\x00\x00"),
#undef FORBIDDEN
};

static inline void worker_floods(struct link *link)
{
    const void *bytes;
    size_t length;
    message_make(&worker_message, MESSAGE_ALIVE, (uint64_t)0);
    while (link_send(link, &worker_message) || link_receive(link, &bytes, &length) >= 0)
        ;
}

/* On a file of its own, and it ignores whoever waits for it. */
static inline void worker_keeps_a_lease(const struct worker_start *start)
{
    OWNED char *path = memory_print("%s/agents/%s/leased", start->data_dir, start->agent->name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    files_leases_silent();
    fcntl(fd, F_SETLEASE, F_WRLCK);
}

static inline void worker_misbehaves(struct link *link, const struct worker_start *start)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (is_called(start, forbidden[i].name))
            worker_sends_bytes(link, forbidden[i].bytes, forbidden[i].length);
    if (is_called(start, "stranger")) {
        worker_tells(link, MESSAGE_SPAWNED, start->agent->name, start->generation, (uint64_t)1, "");
    } else if (is_called(start, "greedy")) {
        for (uint64_t i = 0; i < 100; i++)
            worker_tells(link, MESSAGE_ASK, i, "x", "y", "z", MESSAGE_NOWHERE, MESSAGE_NOWHERE,
                         MESSAGE_NOWHERE, MESSAGE_NOWHERE, (uint64_t)0);
    } else if (is_called(start, "huge")) {
        OWNED char *much = memory_new(MESSAGE_MAX + 1, 1);
        worker_sends_bytes(link, much, MESSAGE_MAX + 1);
    } else if (is_called(start, "wild")) {
        worker_tells(link, MESSAGE_ACTIVITY, UINT64_MAX, "", (uint64_t)0);
    } else if (is_called(start, "hasty")) {
        OWNED char *task = memory_new(1024 * 1024, 1);
        memset(task, 't', 1024 * 1024 - 1);
        worker_tells(link, MESSAGE_AHEAD, task);
    } else if (is_called(start, "generous")) {
        worker_tells(link, MESSAGE_FINISHED, "t", (uint64_t)9, "c", (uint64_t)0, (uint64_t)0, "done", "");
    } else if (is_called(start, "boaster")) {
        worker_tells(link, MESSAGE_FIGURES, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
                     (uint64_t)0, UINT64_MAX, (uint64_t)0);
    } else if (is_called(start,
                         "sulker")) { /* a streak whose marks, twice as high each time, would overflow */
        for (uint64_t streak = 0; streak < 3; streak++)
            worker_tells(link, MESSAGE_FIGURES, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
                         (uint64_t)0, streak << 62, (uint64_t)0, (uint64_t)0);
    } else if (is_called(start, "spender")) {
        worker_tells(link, MESSAGE_FINISHED, "t", (uint64_t)2, "c", UINT64_MAX / 2, (uint64_t)1, "done", "");
    } else if (is_called(start, "mumbler")) {
        worker_tells(link, MESSAGE_PROBLEMS, "the file \xff.md has no task");
    } else if (is_called(start, "accuser")) {
        for (uint64_t i = 0; i < 100; i++)
            worker_tells(link, MESSAGE_AUDIT, i, "t", "{}");
    } else if (is_called(start, "judge")) {
        worker_tells(link, MESSAGE_JUDGED, "t", (uint64_t)3, (uint64_t)0, "", "c");
    } else if (is_called(start, "wordy")) {
        OWNED char *words = memory_new(1024 * 1024, 1);
        memset(words, 'w', 1024 * 1024 - 1);
        worker_tells(link, MESSAGE_PROBLEMS, words);
    } else if (is_called(start, "worried")) {
        worker_tells(link, MESSAGE_PROBLEMS, "a block has no task");
    } else if (is_called(start, "flooder")) {
        worker_floods(link);
    } else if (is_called(start, "lessor")) {
        worker_keeps_a_lease(start);
    } else if (is_called(start, "silent")) {
        link_close(link); /* and lives on */
        for (;;)
            poll(NULL, 0, -1); /* pause() is refused here */
    }
}

/* Set by a test before supervised_main: further steps of its workers after READY, by their agents' names. */
static void (*worker_does_more)(struct link *link, const struct worker_start *start);

int worker_live(struct worker_start *start)
{
    struct fault fault;
    if (is_called(start, "crasher"))
        return 3;
    if (is_called(start, "hopeless"))
        return EX_CANTCREAT;
    while (is_called(start, "tardy"))
        poll(NULL, 0, -1);
    struct link *link = link_open(start->url, &fault);
    if (!link)
        return EX_UNAVAILABLE;
    if (!is_called(start, "ungreeted"))
        worker_tells(link, MESSAGE_HELLO, is_called(start, "misnamed") ? "orion" : start->agent->name,
                     start->generation + is_called(start, "ahead"));
    worker_tells(link, MESSAGE_READY);
    worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_IDLE, "", (uint64_t)0);
    for (int i = 0; is_called(start, "ungreeted") && i < 1; i++)
        worker_tells(link, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WORKING, "", (uint64_t)0);
    worker_misbehaves(link, start);
    if (worker_does_more)
        worker_does_more(link, start);
    for (;;) {
        struct pollfd ready = {.fd = link_fd(link), .events = POLLIN};
        const void *bytes;
        size_t length;
        int got;
        poll(&ready, 1, -1);
        while ((got = link_receive(link, &bytes, &length)) != 0) {
            struct reader reader;
            unsigned type = 0;
            if (got < 0)
                return 1;
            if (message_open(&reader, bytes, length, &type) && !worker_hears(link, start, type, &reader)) {
                link_close(link);
                return 0;
            }
        }
    }
}

/* --- the gateway: answers with the agent's name that stands in the question --- */

static inline int gateway_live(int fd)
{
    struct channel channel;
    channel_open(&channel, fd);
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        const void *bytes;
        size_t length;
        poll(&ready, 1, -1);
        if (!channel_fill(&channel))
            return 0;
        while (channel_next(&channel, &bytes, &length)) {
            struct reader reader;
            unsigned type = 0;
            uint64_t serial, peers, segments, budget, room, least;
            OWNED char *agent = NULL, *system = NULL, *task = NULL;
            if (!message_open(&reader, bytes, length, &type) || type != MESSAGE_ASK ||
                !message_read(&reader, MESSAGE_ASK, &serial, &agent, &system, &task, &peers, &segments,
                              &budget, &room, &least))
                continue;
            if (access("gateway-dies", F_OK) == 0 && unlink("gateway-dies") == 0)
                abort();
            if (strcmp(agent, "greedy") == 0 || strcmp(agent, "questions-64") == 0)
                continue; /* they lie there */
            OWNED_BUFFER struct buffer answer = {0};
            message_make(&answer, MESSAGE_SPENT, serial, agent, "model", (uint64_t)SPENT_KNOWN, (uint64_t)1,
                         (uint64_t)2, (uint64_t)0, (uint64_t)0);
            channel_send(&channel, &answer);
            message_make(&answer, MESSAGE_ANSWER, serial, agent, (uint64_t)ANSWER_OK, agent, "stop", "model",
                         (uint64_t)0, (uint64_t)0, "", (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
                         UINT64_MAX);
            channel_send(&channel, &answer);
        }
    }
}

/* --- the supervisor and its client --- */

struct supervised {
    char folder[4200]; /* the test's own */
    char data[4200];
    pid_t pid; /* 0: not running */
    int log;   /* the supervisor's standard error, at its beginning */
    int heartbeat_ms;
};

static inline void supervised_main(int count, char **arguments)
{
    static char *environment[] = {NULL};
    if (count == 4 && strcmp(arguments[0], "agentos-zygote") == 0) {
        setproctitle_init(count, arguments, environ ? environ : environment);
        log_start("info", "text");
        log_to_supervisor();
        _exit(zygote_run(atoi(arguments[2]), atoi(arguments[3])));
    }
    if (count == 3 && strcmp(arguments[0], "agentos-gateway") == 0)
        _exit(gateway_live(atoi(arguments[1])));
    while (strcmp(arguments[0], "agentos-audit") == 0) /* a worker that hangs */
        pause();
}

static inline void supervised_yaml(const struct supervised *supervised, const char *text)
{
    OWNED_FD int data = open(supervised->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(files_write(data, "agents.yaml", text, strlen(text), false, NULL));
}

/* names: separated by blanks. */
static inline void supervised_agents(const struct supervised *supervised, const char *names)
{
    OWNED_BUFFER struct buffer yaml = {0};
    buffer_text(&yaml, "agents:\n");
    OWNED char *copy = memory_text(names);
    for (char *at = copy, *name; (name = strsep(&at, " "));)
        buffer_print(&yaml, "  - name: %s\n    persona: p\n    limits: {task_seconds: 1}\n", name);
    supervised_yaml(supervised, yaml.data);
}

static inline void supervised_place(struct supervised *supervised, size_t data_length)
{
    *supervised = (struct supervised){.log = -1};
    strcpy(supervised->folder, "/tmp/test-supervised-XXXXXX");
    assert_non_null(mkdtemp(supervised->folder));
    strcpy(supervised->data, supervised->folder);
    strcat(supervised->data, "/data");
    while (strlen(supervised->data) < data_length)
        strcat(supervised->data, "x");
    assert_int_equal(mkdir(supervised->data, 0755), 0);
    char self[4200];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    static const char *const programs[] = {"agentos-worker", "agentos-gateway", "agentos-audit"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        OWNED char *path = memory_print("%s/%s", supervised->folder, programs[i]);
        assert_int_equal(symlink(self, path), 0);
    }
}

/* cmocka catches these and goes on with the next test: in a child that would be a second run of all that follows. */
static inline void supervised_crashes_for_real(void)
{
    static const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
}

static inline void supervised_start(struct supervised *supervised)
{
    OWNED char *run = memory_print("%s/.run", supervised->data);
    OWNED char *log = memory_print("%s/log", supervised->folder);
    int standard_error = open(log, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    supervised->pid = fork();
    if (supervised->pid == 0) {
        supervised_crashes_for_real();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (chdir(supervised->folder) != 0)
            _exit(1);
        dup2(standard_error, STDERR_FILENO);
        log_start("info", "text");
        setenv("STOP_GRACE", "1", 1);
        setenv("POLL_INTERVAL", "1", 1);
        setenv("AGENTOS_LISTEN", "", 1);
        int secrets = open("/dev/null", O_RDONLY | O_CLOEXEC);
        const struct run_options options = {.data_dir = supervised->data,
                                            .run_dir = run,
                                            .programs = supervised->folder,
                                            .secrets = secrets,
                                            .heartbeat_ms = supervised->heartbeat_ms};
        int status = supervisor_run(&options);
        free(run);
        free(log);
        exit(status); /* with the leak check, where there is one */
    }
    close(standard_error);
}

static inline char *supervised_log(const struct supervised *supervised)
{
    OWNED_FD int folder = open(supervised->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = NULL;
    size_t length;
    return files_read(folder, "log", 1 << 26, &text, &length, NULL, NULL) == 1 ? text : memory_text("");
}

static inline void supervised_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* Waits until condition; the time is only there so that a broken one ends. */
#define EVENTUALLY(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = clock_monotonic_ms() + 280000;                                                      \
        while (!(condition)) {                                                                               \
            if (clock_monotonic_ms() > until_)                                                               \
                fail_msg("never came true: %s", #condition);                                                 \
            supervised_nap();                                                                                \
        }                                                                                                    \
    } while (0)

static inline bool supervised_logged(const struct supervised *supervised, const char *text)
{
    OWNED char *log = supervised_log(supervised);
    return strstr(log, text) != NULL;
}

static inline int supervised_connect(const struct supervised *supervised)
{
    OWNED char *run = memory_print("%s/.run", supervised->data);
    OWNED_FD int folder = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", folder);
    if (folder < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The next line of the answer as JSON; NULL: the other end hung up. */
static inline json_t *supervised_hear(int fd)
{
    OWNED_BUFFER struct buffer line = {0};
    char c;
    while (recv(fd, &c, 1, 0) == 1 && c != '\n')
        buffer_add(&line, &c, 1);
    return line.length ? json_loadb(line.data, line.length, 0, NULL) : NULL;
}

static inline json_t *supervised_ask(const struct supervised *supervised, const char *request)
{
    OWNED_FD int fd = supervised_connect(supervised);
    if (fd < 0)
        return NULL;
    OWNED char *line = memory_print("%s\n", request);
    send(fd, line, strlen(line), MSG_NOSIGNAL);
    return supervised_hear(fd);
}

static inline int supervised_exit_of(const struct supervised *supervised, const char *request)
{
    json_t *answer = supervised_ask(supervised, request);
    int exit = answer ? (int)json_integer_value(json_object_get(answer, "exit")) : -1;
    json_decref(answer);
    return exit;
}

/* One field of an agent's status; NULL: not there. Caller decrefs. */
static inline json_t *supervised_field(const struct supervised *supervised, const char *agent,
                                       const char *key)
{
    OWNED char *request = memory_print("{\"verb\":\"status\",\"agent\":\"%s\"}", agent);
    json_t *answer = supervised_ask(supervised, request);
    json_t *agents = json_object_get(json_object_get(answer, "status"), "agents");
    json_t *field = json_incref(json_object_get(json_array_get(agents, 0), key));
    json_decref(answer);
    return field;
}

static inline bool supervised_is(const struct supervised *supervised, const char *agent, const char *state)
{
    json_t *field = supervised_field(supervised, agent, "state");
    const char *text = json_string_value(field);
    bool is = text && strcmp(text, state) == 0;
    json_decref(field);
    return is;
}

static inline pid_t supervised_pid(const struct supervised *supervised, const char *agent)
{
    json_t *field = supervised_field(supervised, agent, "pid");
    pid_t pid = (pid_t)json_integer_value(field);
    json_decref(field);
    return pid;
}

/* Starts the supervisor with these agents. Returns the pid of `agent` once that is idle. */
static inline pid_t supervised_start_until_idle(struct supervised *supervised, const char *names,
                                                const char *agent)
{
    supervised_agents(supervised, names);
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, agent, "idle"));
    return supervised_pid(supervised, agent);
}

static inline int supervised_wait(struct supervised *supervised)
{
    int status = 0;
    if (supervised->pid > 0)
        waitpid(supervised->pid, &status, 0);
    supervised->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A crashed supervisor's log would be gone with its folder. */
static inline void supervised_tell_crash(const struct supervised *supervised)
{
    siginfo_t end = {0};
    if (supervised->pid <= 0 ||
        waitid(P_PID, (id_t)supervised->pid, &end, WEXITED | WNOHANG | WNOWAIT) != 0 || end.si_pid == 0 ||
        end.si_code == CLD_EXITED)
        return;
    OWNED char *log = supervised_log(supervised);
    fprintf(stderr, "%s\nThe supervisor was ended by signal %d.\n", log, end.si_status);
}

static inline void supervised_end(struct supervised *supervised)
{
    supervised_tell_crash(supervised);
    if (supervised->pid > 0) {
        kill(supervised->pid, SIGKILL);
        supervised_wait(supervised);
    }
    OWNED char *command = memory_print("rm -rf %s", supervised->folder);
    EVENTUALLY(system(command) == 0); /* workers that are being killed may still write */
}

#endif
