/* A child that asks: its calls are answered from outside (seccomp_unotify(2)). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

enum { GENERATIONS = 64 };

/* The child shares this process's table of descriptors until it executes, so the listener that is made in it is at its
 * place here too; and this process stands still until then. The child has memory of its own, and this process has one
 * thread, so the child may do as it likes. */
pid_t sandbox_start_watched(void (*become)(void *context), void *context)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        become(context);
        _exit(EX_SOFTWARE);
    }
    return child;
}

/* --- signals --- */

/* 0: /proc doesn't say. */
static pid_t parent_of(pid_t pid)
{
    char path[32], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* Whether the process descends from this one. A process on the way up may end while its line is read, and its number
 * become another's. So each step is read again, from the top down: a process that still has the parent that it had
 * before had it all the while (no process gets a former parent back), and so the parent read in between was no other
 * process. The caller holds the first process of the line. */
static bool descends(pid_t pid)
{
    pid_t line[GENERATIONS] = {pid};
    size_t count = 1;
    while (line[count - 1] != getpid()) {
        pid_t parent = parent_of(line[count - 1]);
        if (parent <= 1 || count == GENERATIONS)
            return false;
        line[count++] = parent;
    }
    while (--count > 0)
        if (parent_of(line[count - 1]) != line[count])
            return false;
    return true;
}

/* The process is held by a descriptor before it is looked at, and the signal goes through that: to the process that was
 * looked at, or to none. Groups are refused: others may be in them. */
static int send_signal(pid_t pid, int number)
{
    if (pid <= 0)
        return EPERM;
    OWNED_FD int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0)
        return errno;
    if (pid == getpid() || !descends(pid))
        return EPERM;
    return syscall(SYS_pidfd_send_signal, process, number, NULL, 0) == 0 ? SANDBOX_DONE : errno;
}

/* To the asker's own process the kernel may send it: the asker stands in its call until it is answered, so no number can
 * become another's. Sent from here it would break off the very call that asks for it. */
static bool is_own(pid_t asker, pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d", (int)process, (int)asker);
    return access(path, F_OK) == 0;
}

int sandbox_answer_signal(void *context, const struct sandbox_question *question)
{
    (void)context;
    pid_t to = (pid_t)question->arguments[0]; /* the kernel looks at no more of it either */
    if (is_own(question->asker, to) && (question->call == SYS_kill || question->call == SYS_tgkill))
        return 0;
    return question->call == SYS_kill ? send_signal(to, (int)question->arguments[1]) : EPERM;
}

/* --- the watch --- */

/* A question of the kernel's. The asker may be dead by now; then there is nothing to answer. */
static void answer_one(struct seccomp_notif *question, struct seccomp_notif_resp *reply,
                       int (*answer)(void *, const struct sandbox_question *), void *context)
{
    memset(question, 0, sizeof *question);
    memset(reply, 0, sizeof *reply);
    if (seccomp_notify_receive(SANDBOX_LISTENER, question) != 0)
        return;
    const struct sandbox_question asked = {.asker = (pid_t)question->pid,
                                           .call = question->data.nr,
                                           .arguments = {question->data.args[0], question->data.args[1]}};
    int verdict = answer(context, &asked);
    reply->id = question->id;
    reply->flags = verdict == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    reply->error = verdict > 0 ? -verdict : 0;
    seccomp_notify_respond(SANDBOX_LISTENER, reply);
}

int sandbox_watch(pid_t child, int (*answer)(void *context, const struct sandbox_question *question),
                  void *context)
{
    struct seccomp_notif *question = NULL;
    struct seccomp_notif_resp *reply = NULL;
    int end = (int)syscall(SYS_pidfd_open, child, 0), status = 0;
    bool asks = fcntl(SANDBOX_LISTENER, F_GETFD) >= 0 && seccomp_notify_alloc(&question, &reply) == 0;
    struct pollfd ready[] = {{.fd = end, .events = POLLIN},
                             {.fd = asks ? SANDBOX_LISTENER : -1, .events = POLLIN}};
    pid_t gone = 0;
    while (end >= 0 && gone != child) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            break;
        if (ready[1].revents & POLLIN)
            answer_one(question, reply, answer, context);
        else if (ready[1].revents)
            ready[1].fd = -1;
        while ((gone = waitpid(-1, &status, WNOHANG)) > 0 && gone != child)
            ;
    }
    if (gone != child)
        gone = (pid_t)TEMP_FAILURE_RETRY(waitpid(child, &status, 0));
    memory_close_at(&end);
    if (asks)
        close(SANDBOX_LISTENER);
    seccomp_notify_free(question, reply);
    return gone == child ? status : 0x100 * EX_OSERR;
}
