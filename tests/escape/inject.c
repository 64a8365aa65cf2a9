/* inject PID SUPERVISOR FOREIGN-FILE   makes system calls inside a process that runs already, by ptrace: the calls that
 * an intruder would be refused who had taken over a living worker. One line a call: its name and its result, or "-EPERM"
 * and the like. 69: not on this architecture. Needs root, as the worker isn't dumpable. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#ifdef __x86_64__

enum { BELOW_THE_STACK = 8192, ARGUMENTS = 6, CALL_LENGTH = 2 };

struct call {
    const char *name;
    long number;
    long arguments[ARGUMENTS]; /* PATH stands for the address of the foreign file's name */
};

#define PATH (-4096L)

static bool stopped(pid_t pid)
{
    int status;
    return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
}

/* The process sleeps in a system call, so the instruction before its next one is `syscall`. */
static bool make(pid_t pid, const struct user_regs_struct *before, const struct call *call, long path,
                 long *result)
{
    struct user_regs_struct registers = *before;
    unsigned long long *const places[ARGUMENTS] = {&registers.rdi, &registers.rsi, &registers.rdx,
                                                   &registers.r10, &registers.r8,  &registers.r9};
    for (size_t i = 0; i < ARGUMENTS; i++)
        *places[i] = (unsigned long long)(call->arguments[i] == PATH ? path : call->arguments[i]);
    registers.rip = before->rip - CALL_LENGTH;
    registers.rax = (unsigned long long)call->number;
    registers.orig_rax = (unsigned long long)-1; /* the call that it sleeps in isn't begun again now */
    if (ptrace(PTRACE_SETREGS, pid, NULL, &registers) != 0 ||
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || !stopped(pid) ||
        ptrace(PTRACE_GETREGS, pid, NULL, &registers) != 0)
        return false;
    *result = (long)registers.rax;
    return true;
}

static bool put_text(pid_t pid, unsigned long long at, const char *text)
{
    for (size_t i = 0; i <= strlen(text); i += sizeof(long)) {
        long word = 0;
        strncpy((char *)&word, text + i, sizeof word);
        if (ptrace(PTRACE_POKEDATA, pid, (void *)(at + i), (void *)word) != 0)
            return false;
    }
    return true;
}

static int inject(pid_t pid, pid_t supervisor, const char *path)
{
    const struct call calls[] = {
        {"getpid", SYS_getpid, {0}},
        {"look at a name outside", SYS_openat, {AT_FDCWD, PATH, O_PATH}},
        {"open", SYS_openat, {AT_FDCWD, PATH, O_RDONLY}},
        {"open to write", SYS_openat, {AT_FDCWD, PATH, O_WRONLY}},
        {"truncate", SYS_truncate, {PATH, 0}},
        {"unlink", SYS_unlink, {PATH}},
        {"chmod", SYS_chmod, {PATH, 0777}},
        {"socket AF_INET", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
        {"socket AF_UNIX", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
        {"kill the supervisor", SYS_kill, {supervisor, 0}},
        {"ptrace the supervisor", SYS_ptrace, {PTRACE_SEIZE, supervisor, 0, 0}},
        {"memory to execute",
         SYS_mmap,
         {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {"memory beyond the limit",
         SYS_mmap,
         {0, 1L << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {"clone", SYS_clone, {SIGCHLD}},
        {"unshare", SYS_unshare, {CLONE_NEWUSER}},
        {"execve", SYS_execve, {PATH, 0, 0}},
        {"outlive the supervisor", SYS_prctl, {PR_SET_PDEATHSIG, 0}},
        {"io_uring_setup", SYS_io_uring_setup, {1, PATH}},
        {"dup of the log", SYS_dup, {STDERR_FILENO}},
    };
    struct user_regs_struct before;
    bool good = ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0 && stopped(pid) &&
                ptrace(PTRACE_GETREGS, pid, NULL, &before) == 0 &&
                put_text(pid, before.rsp - BELOW_THE_STACK, path);
    for (size_t i = 0; good && i < sizeof calls / sizeof *calls; i++) {
        long result;
        good = make(pid, &before, &calls[i], (long)(before.rsp - BELOW_THE_STACK), &result);
        if (good && result < 0)
            printf("%s: -%s\n", calls[i].name, strerrorname_np((int)-result));
        else if (good)
            printf("%s: %ld\n", calls[i].name, result);
    }
    if (!good)
        perror("ptrace");
    ptrace(PTRACE_SETREGS, pid, NULL, &before);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return good ? EX_OK : EX_OSERR;
}

#endif

int main(int count, char **arguments)
{
    if (count != 4)
        return EX_USAGE;
#ifdef __x86_64__
    return inject((pid_t)atoi(arguments[1]), (pid_t)atoi(arguments[2]), arguments[3]);
#else
    (void)arguments;
    return EX_UNAVAILABLE;
#endif
}
