/* The state of the sandbox on this machine, and the sentences that a person should know of it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

/* The part that a sandbox lacks below each Landlock ABI, and the other part that closes the hole meanwhile. */
static const struct {
    int abi;
    const char *kernel, *lack;
} gains[] = {
    {3, "6.2", "truncate(2) outside the tree is refused by the system call filter alone"},
    {4, "6.7", "TCP is refused by the system call filter alone"},
    {5, "6.10", "requests to devices (ioctl) are refused by the system call filter alone"},
    {6, "6.12",
     "signals and abstract sockets are refused by the system call filter alone; the signals of a command of "
     "`agentos exec` are sent by a process outside its sandbox, which looks whom they reach"},
};

void sandbox_lacks(const struct sandbox_facts *facts, struct buffer *lines)
{
    if (facts->landlock >= SANDBOX_LANDLOCK_FLOOR)
        for (size_t i = 0; i < sizeof gains / sizeof *gains; i++)
            if (facts->landlock < gains[i].abi)
                buffer_print(lines, "before Linux %s (Landlock ABI %d) %s\n", gains[i].kernel, gains[i].abi,
                             gains[i].lack);
    if (!facts->mdwe)
        buffer_text(
            lines,
            "before Linux 6.3 memory both writable and executable is refused by the system call filter "
            "alone\n");
}

char *sandbox_summary(enum sandbox_mode mode, const struct sandbox_facts *facts)
{
    if (mode == SANDBOX_OFF)
        return memory_text("off");
    OWNED char *landlock = facts->landlock >= SANDBOX_LANDLOCK_FLOOR
                               ? memory_print("landlock %d", facts->landlock)
                               : memory_text("no landlock");
    const char *seccomp = facts->seccomp ? "seccomp" : "no seccomp";
    return memory_print("%s%s, %s", sandbox_floor(facts, NULL) ? "" : "best-effort: ", landlock, seccomp);
}

/* --- the proof --- */

static const char *const findings[] = {
    NULL,
    "a process of ours could not enter it",
    "a folder outside the tree could still be opened",
    "a network socket could still be made",
    "a socket could still be made after the connection to the supervisor",
    "the data directory can't be reached from within: root has no capabilities there, and a folder on the "
    "way to it "
    "is another user's alone; start agentos as that user, or keep the data elsewhere",
};

enum { FINDINGS = sizeof findings / sizeof *findings };

static bool refused(int fd)
{
    return fd < 0 && (errno == EACCES || errno == EPERM);
}

void sandbox_tell_sealed(const struct sandbox *sandbox, const char *name)
{
    OWNED_FD int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool files = !refused(root);
    OWNED_FD int network = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connects = !refused(network);
    OWNED char *landlock =
        files ? memory_text("no landlock") : memory_print("landlock %d", sandbox->facts.landlock);
    setproctitle("-%s [sealed: %s, %s]", name, landlock, connects ? "network" : "no network socket");
}

bool sandbox_seal(enum sandbox_role role, const struct sandbox_room *room, const char *name,
                  struct fault *fault)
{
    struct sandbox *sandbox = sandbox_prepare(role, sandbox_mode(), fault);
    bool sealed = sandbox && sandbox_enter(sandbox, room, fault);
    if (sealed)
        sandbox_tell_sealed(sandbox, name);
    sandbox_free(sandbox);
    return sealed;
}

/* Which of the findings; 0: all is refused. */
static int try_it(const struct sandbox *sandbox, const char *data)
{
    if (!sandbox_enter(sandbox, &(struct sandbox_room){.tree = NULL}, NULL))
        return 1;
    if (data && access(data, X_OK) != 0 && errno == EACCES)
        return 5;
    if (!refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)))
        return 2;
    if (!refused(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)))
        return 3;
    return !sandbox_tighten(sandbox, NULL)                            ? 1
           : !refused(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) ? 4
                                                                      : 0;
}

bool sandbox_prove(enum sandbox_mode mode, const char *data, struct fault *fault)
{
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, mode, fault);
    if (!sandbox)
        return false;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(try_it(sandbox, data));
    sandbox_free(sandbox);
    if (child < 0)
        return fault_errno(fault, "the sandbox can't be tried");
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fault_errno(fault, "the sandbox can't be tried");
    int finding = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (finding == 0)
        return true;
    return fault_set(fault, "the sandbox does not hold here: %s", findings[finding < FINDINGS ? finding : 1]);
}
