#include "supervisor/model/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/process/child.h"

/* An auditor's standard input, output and error, by their numbers. */
enum { IN, OUT, ERR, PIPES };
enum { BLOCK = 16 * 1024, COMPLAINT_MAX = 300 };

/* Our end of a pipe to an auditor. */
struct end {
    struct audit *audit;
    int fd; /* -1: closed */
    struct loop_watch *watch;
    struct buffer bytes; /* IN: bytes still to be written; else bytes that came */
};

struct audit {
    struct audits *audits;
    void *asker; /* NULL: nobody wants the result any more */
    uint64_t serial;
    char *agent, *task;
    char **arguments; /* owned; NULL at the end */
    struct end ends[PIPES];
    pid_t pid; /* 0: the audit waits for its turn */
    struct timer timer;
    const char *fault; /* static; why the auditor was killed; NULL: it wasn't */
    TAILQ_ENTRY(audit) link;
};

struct audits {
    struct audits_owner owner;
    TAILQ_HEAD(, audit) all; /* oldest first, running ones among them */
    size_t running, waiting;
    struct buffer message; /* kept between uses for its memory */
};

/* --- the list --- */

struct audits *audits_new(const struct audits_owner *owner)
{
    struct audits *audits = memory_new(1, sizeof *audits);
    audits->owner = *owner;
    TAILQ_INIT(&audits->all);
    return audits;
}

static void close_end(struct end *end)
{
    if (end->fd < 0)
        return;
    loop_forget(end->audit->audits->owner.loop, end->watch);
    end->watch = NULL;
    close(end->fd);
    end->fd = -1;
}

static void drop(struct audits *audits, struct audit *audit)
{
    TAILQ_REMOVE(&audits->all, audit, link);
    timer_clear(audits->owner.loop, &audit->timer);
    for (size_t i = 0; i < PIPES; i++) {
        close_end(&audit->ends[i]);
        buffer_free(&audit->ends[i].bytes);
    }
    for (char **argument = audit->arguments; argument && *argument; argument++)
        free(*argument);
    free(audit->arguments);
    free(audit->agent);
    free(audit->task);
    free(audit);
}

static void answer(struct audits *audits, const struct audit *audit, enum audit_end how, const char *text)
{
    if (how == AUDIT_FAILED)
        log_warn("agentos", audit->agent, "The audit of task %s has no result: %s", audit->task, text);
    message_make(&audits->message, MESSAGE_AUDITED, audit->serial, (uint64_t)how, audit->task, text);
    if (audit->asker)
        audits->owner.to_worker(audit->asker, &audits->message);
}

/* --- a running audit --- */

static void kill_all_of(const struct audit *audit)
{
    if (audit->pid > 0)
        kill(-audit->pid, SIGKILL);
}

static void stop(struct audit *audit, const char *fault)
{
    if (!audit->fault)
        audit->fault = fault;
    kill_all_of(audit);
}

static void is_over_time(void *context)
{
    stop(context, "it took longer than 10 s");
}

static void on_input(void *context, uint32_t events)
{
    struct end *end = context;
    ssize_t n = events & EPOLLERR ? -1 : write(end->fd, end->bytes.data, end->bytes.length);
    if (n > 0)
        buffer_drop(&end->bytes, (size_t)n);
    bool again = n < 0 && !(events & EPOLLERR) && (errno == EAGAIN || errno == EINTR);
    /* A write that fails is no fault: the auditor needn't read. */
    if (end->bytes.length == 0 || (n < 0 && !again))
        close_end(end);
}

/* 1: bytes came, 0: none are there now, -1: none will come any more, or no more are wanted. */
static int take_in(struct end *end)
{
    ssize_t n = read(end->fd, buffer_room(&end->bytes, BLOCK), BLOCK);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    end->bytes.length += (size_t)n;
    buffer_add(&end->bytes, "", 0); /* a text's NUL */
    if (end->bytes.length > AUDIT_OUTPUT_MAX)
        stop(end->audit, "it printed more than 64 KiB");
    return n > 0 && !end->audit->fault ? 1 : -1;
}

static void on_output(void *context, uint32_t events)
{
    struct end *end = context;
    (void)events;
    if (take_in(end) < 0)
        close_end(end);
}

static bool open_ends(struct audit *audit, int theirs[PIPES])
{
    for (size_t i = 0; i < PIPES; i++) {
        int pair[2];
        struct end *end = &audit->ends[i];
        bool ours = i == IN; /* the end of the pair that the supervisor keeps: to write to */
        if (pipe2(pair, O_CLOEXEC) != 0)
            return false;
        theirs[i] = pair[!ours];
        end->fd = pair[ours];
        fcntl(end->fd, F_SETFL, O_NONBLOCK);
        end->watch = loop_watch(audit->audits->owner.loop, end->fd, i == IN ? EPOLLOUT : EPOLLIN,
                                i == IN ? on_input : on_output, end);
        if (!end->watch)
            return false;
    }
    return true;
}

/* The auditor gets nothing of the supervisor's environment: its settings are no checker's affair. */
static int spawn(struct audit *audit, const int theirs[PIPES])
{
    const char *mode = getenv("AGENTOS_SANDBOX");
    OWNED char *sandbox = memory_print("AGENTOS_SANDBOX=%s", mode ? mode : "require");
    char *environment[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin", sandbox, NULL};
    return child_spawn(audit->audits->owner.program, audit->arguments, environment, theirs, PIPES,
                       &audit->pid);
}

static bool begin(struct audit *audit)
{
    int theirs[PIPES] = {-1, -1, -1};
    int error = open_ends(audit, theirs) ? spawn(audit, theirs) : errno;
    for (size_t i = 0; i < PIPES; i++)
        memory_close_at(&theirs[i]);
    if (error == 0) {
        timer_set(audit->audits->owner.loop, &audit->timer, AUDIT_WALL_MS);
        return true;
    }
    audit->pid = 0;
    OWNED char *why = memory_print("the auditor can't be started: %s", strerror(error));
    answer(audit->audits, audit, AUDIT_FAILED, why);
    return false;
}

static void begin_next(struct audits *audits)
{
    struct audit *audit, *next;
    TAILQ_FOREACH_SAFE(audit, &audits->all, link, next)
    {
        if (audits->running == AUDITS_AT_ONCE)
            break;
        if (audit->pid != 0)
            continue;
        audits->waiting--;
        if (begin(audit))
            audits->running++;
        else
            drop(audits, audit);
    }
}

/* --- workers' requests --- */

static char **arguments_of(const struct audits *audits, const struct roster_agent *definition)
{
    const struct text_list *command = &definition->reward_audit.command;
    bool runs = definition->reward_audit.method == AUDIT_COMMAND;
    char **arguments = memory_new((runs ? command->count : 0) + 5, sizeof *arguments);
    size_t count = 0;
    arguments[count++] = memory_text("agentos-audit");
    if (runs) {
        arguments[count++] = memory_text("--run");
        arguments[count++] = memory_text(audits->owner.data_dir);
        arguments[count++] = memory_text("--");
    }
    for (size_t i = 0; runs && i < command->count; i++)
        arguments[count++] = memory_text(command->items[i]);
    return arguments;
}

static size_t count_of(const struct audits *audits, const void *asker)
{
    size_t count = 0;
    const struct audit *audit;
    TAILQ_FOREACH(audit, &audits->all, link)
    count += audit->asker == asker;
    return count;
}

bool audits_ask(struct audits *audits, void *asker, const struct roster_agent *definition,
                struct reader *message)
{
    uint64_t serial;
    char *task = NULL, *json = NULL;
    if (!message_read(message, MESSAGE_AUDIT, &serial, &task, &json))
        return false;
    struct audit *audit = memory_new(1, sizeof *audit);
    *audit = (struct audit){.audits = audits,
                            .asker = asker,
                            .serial = serial,
                            .agent = memory_text(definition->name),
                            .task = task};
    audit->timer = (struct timer){.ring = is_over_time, .context = audit};
    for (size_t i = 0; i < PIPES; i++)
        audit->ends[i] = (struct end){.audit = audit, .fd = -1};
    size_t length = strlen(json);
    audit->ends[IN].bytes = (struct buffer){.data = json, .length = length, .capacity = length + 1};
    bool too_many = count_of(audits, asker) >= AUDITS_PER_WORKER, full = audits->waiting >= AUDITS_WAITING;
    TAILQ_INSERT_TAIL(&audits->all, audit, link);
    if (too_many || full) {
        if (!too_many)
            answer(audits, audit, AUDIT_LATER, "too many audits wait");
        drop(audits, audit);
        return !too_many;
    }
    audits->waiting++;
    audit->arguments = arguments_of(audits, definition);
    begin_next(audits);
    return true;
}

void audits_forget_all(struct audits *audits, const void *asker)
{
    struct audit *audit, *next;
    TAILQ_FOREACH_SAFE(audit, &audits->all, link, next)
    {
        if (audit->asker != asker)
            continue;
        audit->asker = NULL;
        if (audit->pid > 0) {
            stop(audit, "its worker is gone");
        } else {
            audits->waiting--;
            drop(audits, audit);
        }
    }
}

/* --- an audit's end --- */

static struct audit *find(const struct audits *audits, pid_t pid)
{
    struct audit *audit = audits ? TAILQ_FIRST(&audits->all) : NULL;
    while (audit && audit->pid != pid)
        audit = TAILQ_NEXT(audit, link);
    return audit;
}

void audits_ended(struct audits *audits, pid_t pid)
{
    struct audit *audit = find(audits, pid);
    if (audit)
        kill_all_of(audit);
}

/* The auditor's last line on standard error, without bytes that a terminal might obey. Caller frees. */
static char *complaint(const struct buffer *said)
{
    size_t length = said->length;
    while (length && strchr("\r\n \t", said->data[length - 1]) && said->data[length - 1])
        length--;
    size_t start = length;
    while (start && said->data[start - 1] != '\n')
        start--;
    char *text = utf8_clean(said->data ? said->data + start : "", length - start);
    text[utf8_cut(text, strlen(text), COMPLAINT_MAX)] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    return text;
}

static void conclude(struct audits *audits, const struct audit *audit, int status)
{
    const struct buffer *printed = &audit->ends[OUT].bytes;
    OWNED char *how = child_status_text(status), *said = complaint(&audit->ends[ERR].bytes), *why = NULL;
    if (audit->fault)
        why = memory_print("%s, and was killed", audit->fault);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        why = memory_print("the auditor ended with %s%s%s", how, *said ? ": " : "", said);
    else if (printed->length && memchr(printed->data, 0, printed->length))
        why = memory_text("its output is no text");
    if (why)
        answer(audits, audit, AUDIT_FAILED, why);
    else
        answer(audits, audit, AUDIT_PRINTED, printed->data);
}

bool audits_reap(struct audits *audits, pid_t pid, int status)
{
    struct audit *audit = find(audits, pid);
    if (!audit)
        return false;
    for (size_t i = OUT; i < PIPES; i++)
        while (audit->ends[i].fd >= 0 && take_in(&audit->ends[i]) > 0)
            ;
    conclude(audits, audit, status);
    drop(audits, audit);
    audits->running--;
    begin_next(audits);
    return true;
}

void audits_free(struct audits *audits)
{
    if (!audits)
        return;
    struct audit *audit, *next;
    TAILQ_FOREACH_SAFE(audit, &audits->all, link, next)
    {
        kill_all_of(audit);
        if (audit->pid > 0)
            (void)TEMP_FAILURE_RETRY(waitpid(audit->pid, NULL, 0));
        drop(audits, audit);
    }
    buffer_free(&audits->message);
    free(audits);
}
