#include "supervisor/mirror/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/format/git_remote.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/secrets.h"
#include "common/settings.h"

enum { SAID_MAX = 1024, JITTER_PARTS = 4, COMMIT_TEXT = 41 };

enum state { STATE_IDLE, STATE_DUE, STATE_WAITS, STATE_UNDER_WAY };

struct job {
    char *agent; /* owned; first: jobs are found by it */
    struct jobs *jobs;
    enum state state;
    bool again;       /* commits have come since the push began */
    bool looks;       /* a look is wanted */
    char *bundle;     /* a fetch into this file is wanted; owned; NULL: none */
    enum job_run run; /* the present run */
    unsigned failures;
    char known[COMMIT_TEXT]; /* the remote's commit; "": not known */
    pid_t pid;
    int said; /* the pipe that tells the run's end; -1: none */
    struct loop_watch *watch;
    struct timer timer; /* until the job is due, or has to have ended */
    int64_t most_ms;    /* the limit of a push */
    bool late;
    char text[SAID_MAX];
    size_t length;
    TAILQ_ENTRY(job) link; /* while the job waits for a place */
};

struct jobs {
    struct jobs_owner owner;
    void *all; /* tsearch: struct job by agent */
    unsigned under_way;
    TAILQ_HEAD(, job) waiting;
};

static void begin(struct job *job);

static void due_in(struct job *job, int64_t ms)
{
    job->state = STATE_DUE;
    timer_set(job->jobs->owner.loop, &job->timer, ms);
}

/* 2 s doubling to ten minutes, less up to a quarter, so that pushes that failed together don't come again together. */
static int64_t pause_ms(unsigned failures)
{
    int64_t ms = failures < 16 ? (int64_t)1000 << failures : JOB_PAUSE_MAX_MS;
    if (ms > JOB_PAUSE_MAX_MS)
        ms = JOB_PAUSE_MAX_MS;
    return ms - (int64_t)arc4random_uniform((uint32_t)(ms / JITTER_PARTS));
}

static const char *name_of(const struct job *job)
{
    static const char *const names[] = {[JOB_PUSH] = "push", [JOB_FETCH] = "fetch", [JOB_LOOK] = "look"};
    return names[job->run];
}

static int64_t most_of(const struct job *job)
{
    return job->run == JOB_FETCH  ? JOB_DEADLINE_MAX_MS
           : job->run == JOB_LOOK ? JOB_DEADLINE_MS
                                  : job->most_ms;
}

/* The push's last line, "1 the branch …": its digit and its text; a push without one was ended from outside. */
static enum push_end end_of(struct job *job, int status, const char **text)
{
    static char sentence[SAID_MAX];
    job->text[job->length] = '\0';
    job->text[strcspn(job->text, "\n")] = '\0';
    if (job->length > 2 && job->text[0] >= '0' && job->text[0] < '0' + PUSH_ENDS && job->text[1] == ' ') {
        *text = job->text + 2;
        return (enum push_end)(job->text[0] - '0');
    }
    if (job->late)
        snprintf(sentence, sizeof sentence, "the %s took more than %lld s, so it was ended", name_of(job),
                 (long long)most_of(job) / 1000);
    else
        snprintf(sentence, sizeof sentence, "the %s ended with %s %d and said nothing", name_of(job),
                 WIFSIGNALED(status) ? "signal" : "exit",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    *text = sentence;
    return PUSH_FAILED;
}

/* A push that can't be begun is due again later, so the list comes to its end. */
static void give_places(struct jobs *jobs)
{
    struct job *next;
    while (jobs->under_way < JOBS_AT_ONCE && (next = TAILQ_FIRST(&jobs->waiting))) {
        TAILQ_REMOVE(&jobs->waiting, next, link);
        begin(next);
    }
}

static void has_pushed(struct job *job, enum push_end how, const char *text)
{
    job->failures = how == PUSH_DONE ? 0 : job->failures + 1;
    strlcpy(job->known, how == PUSH_DONE ? text : "", sizeof job->known);
    job->most_ms = !job->late                               ? JOB_DEADLINE_MS
                   : job->most_ms * 2 < JOB_DEADLINE_MAX_MS ? job->most_ms * 2
                                                            : JOB_DEADLINE_MAX_MS;
}

static void end(struct job *job)
{
    struct jobs *jobs = job->jobs;
    const char *text = NULL;
    int status = 0;
    timer_clear(jobs->owner.loop, &job->timer);
    loop_forget(jobs->owner.loop, job->watch);
    close(job->said);
    kill(job->pid, SIGKILL); /* the push has no business without the pipe */
    (void)TEMP_FAILURE_RETRY(waitpid(job->pid, &status, 0));
    enum push_end how = end_of(job, status, &text);
    job->state = STATE_IDLE;
    jobs->under_way--;
    jobs->owner.ended(jobs->owner.context, job->agent, job->run, how, text);
    if (job->run == JOB_PUSH)
        has_pushed(job, how, text);
    else if (job->run == JOB_FETCH && how == PUSH_DONE)
        job->failures = 0; /* of pushes of a tree that was not here, and to a remote that answers now */
    if (job->bundle || job->looks)
        due_in(job, 0);
    else if (job->failures)
        due_in(job, pause_ms(job->failures));
    else if (job->again)
        due_in(job, JOB_BUNDLE_MS);
    give_places(jobs);
}

/* The push's end closes the pipe, or the kernel when the push was killed: then the child can be waited for. */
static void on_said(void *context, uint32_t events)
{
    (void)events;
    struct job *job = context;
    char rest[SAID_MAX];
    size_t room = sizeof job->text - 1 - job->length;
    ssize_t got = room ? read(job->said, job->text + job->length, room) : read(job->said, rest, sizeof rest);
    if (got > 0 && room)
        job->length += (size_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        end(job);
}

/* Each push reads the credentials anew: a person who renews them needs no restart. */
static _Noreturn void become_push(const struct job *job, int out, int bundle)
{
    const struct jobs_owner *owner = &job->jobs->owner;
    const char *credentials = setting_text(SET_AGENTOS_GIT_CREDENTIALS_FILE, NULL);
    const char *known_hosts = setting_text(SET_AGENTOS_GIT_KNOWN_HOSTS_FILE, NULL);
    struct fault fault;
    struct push push = {.data_dir = owner->data_dir,
                        .agent = job->agent,
                        .known = job->known,
                        .looks = job->run == JOB_LOOK,
                        .bundle = bundle,
                        .empty = bundle < 0 ? NULL : memory_print("%s.git", job->bundle),
                        .url = git_remote_of(owner->remote, job->agent),
                        .mode = owner->mode};
    closefrom((bundle < 0 ? out : bundle) + 1);
    if ((!credentials || (push.credentials = secrets_read_file(credentials, "credentials", &fault))) &&
        (!known_hosts || (push.known_hosts = secrets_read_file(known_hosts, "hosts' keys", &fault))))
        push_run(&push, out);
    dprintf(out, "%d AGENTOS_GIT_%s_FILE %s\n", (int)PUSH_FAILED,
            push.credentials || !credentials ? "KNOWN_HOSTS" : "CREDENTIALS", fault.text);
    _exit(0);
}

static void begin(struct job *job)
{
    struct jobs *jobs = job->jobs;
    int pipe[2] = {-1, -1};
    pid_t parent = getpid();
    job->run = job->bundle ? JOB_FETCH : job->looks ? JOB_LOOK : JOB_PUSH;
    if (pipe2(pipe, O_CLOEXEC) != 0 || (job->pid = fork()) < 0) {
        int error = errno;
        memory_close_at(&pipe[0]);
        memory_close_at(&pipe[1]);
        log_warn("mirror", job->agent,
                 "The agent's branch can be neither pushed nor fetched: %s; both are tried again",
                 strerror(error));
        if (job->run == JOB_PUSH) /* else nothing may be here that could be pushed */
            job->failures++;
        due_in(job, pause_ms(job->failures ? job->failures : 1));
        return;
    }
    if (job->pid == 0) {
        enum { OUT = 3, BUNDLE = 4 };
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* without its parent nobody minds the push's deadline */
        if (getppid() != parent)
            _exit(0);
        int file = job->bundle ? open(job->bundle, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (job->bundle && file < 0)
            _exit(EX_CANTCREAT);
        file = job->bundle ? fcntl(file, F_DUPFD_CLOEXEC, BUNDLE + 1) : -1;
        dup3(pipe[1], OUT, O_CLOEXEC);
        become_push(job, OUT, job->bundle ? dup3(file, BUNDLE, O_CLOEXEC) : -1);
    }
    close(pipe[1]);
    fcntl(pipe[0], F_SETFL, O_NONBLOCK);
    job->said = pipe[0];
    job->state = STATE_UNDER_WAY;
    job->late = false;
    if (job->run == JOB_PUSH)
        job->again = false;
    else if (job->run == JOB_LOOK)
        job->looks = false;
    else
        memory_set(&job->bundle, NULL);
    job->length = 0;
    job->watch = loop_watch(jobs->owner.loop, job->said, EPOLLIN, on_said, job);
    jobs->under_way++;
    timer_set(jobs->owner.loop, &job->timer, most_of(job));
}

static void ring(void *context)
{
    struct job *job = context;
    struct jobs *jobs = job->jobs;
    if (job->state == STATE_UNDER_WAY) {
        job->late = true;
        kill(job->pid, SIGKILL);
    } else if (jobs->under_way < JOBS_AT_ONCE) {
        begin(job);
    } else {
        job->state = STATE_WAITS;
        TAILQ_INSERT_TAIL(&jobs->waiting, job, link);
    }
}

struct jobs *jobs_new(const struct jobs_owner *owner)
{
    struct jobs *jobs = memory_new(1, sizeof *jobs);
    jobs->owner = *owner;
    TAILQ_INIT(&jobs->waiting);
    return jobs;
}

static struct job *job_of(struct jobs *jobs, const char *agent)
{
    struct job *job = names_find(&jobs->all, agent);
    if (!job) {
        job = memory_new(1, sizeof *job);
        *job =
            (struct job){.agent = memory_text(agent), .jobs = jobs, .said = -1, .most_ms = JOB_DEADLINE_MS};
        job->timer = (struct timer){.ring = ring, .context = job};
        tsearch(job, &jobs->all, names_order);
    }
    return job;
}

void jobs_add(struct jobs *jobs, const char *agent)
{
    struct job *job = job_of(jobs, agent);
    job->again = true;
    if (job->state == STATE_IDLE)
        due_in(job, JOB_BUNDLE_MS);
}

void jobs_fetch(struct jobs *jobs, const char *agent, const char *bundle)
{
    struct job *job = job_of(jobs, agent);
    free(job->bundle);
    job->bundle = memory_print("%s/%s", jobs->owner.data_dir, bundle);
    if (job->state == STATE_IDLE || job->state == STATE_DUE)
        due_in(job, 0);
}

void jobs_look(struct jobs *jobs, const char *agent)
{
    struct job *job = job_of(jobs, agent);
    job->looks = true;
    if (job->state == STATE_IDLE || job->state == STATE_DUE)
        due_in(job, 0);
}
