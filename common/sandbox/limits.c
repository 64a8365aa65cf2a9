/* Limits, capabilities, and the privileges that a process may gain. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

/* Debian 12's headers know the kernel before it had this (6.3). */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_GET_MDWE              66
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifndef SECBIT_NOROOT
#define SECBIT_NOROOT        (1 << 0)
#define SECBIT_NOROOT_LOCKED (1 << 1)
#endif

enum { CAPABILITIES_MAX = 64 };

/* The largest file: more than any pack of texts, less than a disk. Standard error may be a long log, and is written
 * under this limit too. */
#define FILE_MOST  ((rlim_t)16 << 30)

#define EVERYBODY  (FOR(WORKER) | NETWORK | PROGRAMS | FOR(AUDITOR) | FOR(HTTP))
#define AUDITS     (FOR(AUDITOR) | FOR(CHECKER))

#define STACK_MOST ((rlim_t)4 << 20)

/* Address space of a worker beyond its memory: the indexes of packs, windows on packs, its threads' stacks. Its addresses
 * lie in so many times that space, as freed memory leaves gaps. */
#define WORKER_SPACE ((rlim_t)128 << 20)
enum { SPACES = 4 };

/* An auditor's: seconds of CPU for one process, and address space, for memory that it shares with its own children
 * doesn't count as data. */
enum { AUDIT_CPU_SECONDS = 10 };
#define AUDIT_SPACE ((rlim_t)512 << 20)

/* There is no RLIMIT_NPROC: the limit counts all processes of the user, other agents' and other containers' too.
 * seccomp sees to it that a worker starts no process; a checker's launcher bounds the checker's processes
 * (worker/audit/launch.h). */
static const struct {
    unsigned roles;
    __rlimit_resource_t resource;
    rlim_t most;
    const char *name;
} limits[] = {
    {EVERYBODY, RLIMIT_CORE, 0, "RLIMIT_CORE"},
    {FOR(WORKER) | FOR(HTTP) | FOR(AUDITOR), RLIMIT_STACK, STACK_MOST, "RLIMIT_STACK"},
    {EVERYBODY & ~FOR(CHECKER), RLIMIT_FSIZE, FILE_MOST, "RLIMIT_FSIZE"},
    {FOR(CHECKER), RLIMIT_FSIZE, 0, "RLIMIT_FSIZE"},
    {AUDITS, RLIMIT_CPU, AUDIT_CPU_SECONDS, "RLIMIT_CPU"},
    {EVERYBODY, RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK"},
    {EVERYBODY, RLIMIT_MSGQUEUE, 0, "RLIMIT_MSGQUEUE"},
    {EVERYBODY, RLIMIT_RTPRIO, 0, "RLIMIT_RTPRIO"},
    {EVERYBODY, RLIMIT_NICE, 0, "RLIMIT_NICE"},
};

/* Never above the limit that the process has. */
static bool lower(__rlimit_resource_t resource, rlim_t most, const char *name, struct fault *fault)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0)
        return fault_errno(fault, "cannot read %s", name);
    if (limit.rlim_max > most)
        limit.rlim_max = most;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) == 0 || fault_errno(fault, "cannot set %s", name);
}

/* Address space of this process, bytes; -1: /proc doesn't say. */
static int64_t space_now(void)
{
    char text[32];
    OWNED_FD int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    return strtoll(text, NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* Memory is RLIMIT_DATA: private memory that can be written. Thread stacks count whole, so they are made small
 * (common/threads.h). A worker could take memory in other ways that RLIMIT_DATA doesn't count: memory that is shared
 * without a file, grows downwards, or is made larger or writable later, which seccomp refuses; its own stack, which has
 * a limit; and the page tables of memory that it only reads, so its address space is bounded too, and its addresses.
 * The address sanitizer's shadow would count as well. */
static bool limit_memory(enum sandbox_role role, int64_t bytes, struct fault *fault)
{
    rlim_t space = (rlim_t)bytes + WORKER_SPACE;
    if (role == SANDBOX_WORKER)
        (void)address_space_bound((uint64_t)bytes, space * SPACES);
    int64_t now = role == SANDBOX_WORKER ? space_now() : -1;
    if (now >= 0 && !lower(RLIMIT_AS, (rlim_t)now + space, "RLIMIT_AS", fault))
        return false;
    return lower(RLIMIT_DATA, (rlim_t)bytes, "RLIMIT_DATA", fault);
}

void limits_foresee(void)
{
    if (!SHADOWED)
        (void)address_space_reserve();
}

bool limits_set(enum sandbox_role role, const struct sandbox_room *room, struct fault *fault)
{
    signal(SIGXFSZ, SIG_IGN); /* a file that grows too large is an error of that write, not the end */
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if ((limits[i].roles & 1u << role) &&
            !lower(limits[i].resource, limits[i].most, limits[i].name, fault))
            return false;
    if (room->open_files > 0 && !lower(RLIMIT_NOFILE, (rlim_t)room->open_files, "RLIMIT_NOFILE", fault))
        return false;
    if (SHADOWED)
        return true;
    if ((AUDITS & 1u << role) && !lower(RLIMIT_AS, AUDIT_SPACE, "RLIMIT_AS", fault))
        return false;
    return room->memory_bytes <= 0 || limit_memory(role, room->memory_bytes, fault);
}

/* --- privileges --- */

/* A process that never had CAP_SETPCAP can't shrink the bounding set, and needn't: without new privileges the set gives
 * nothing. */
static bool drop_bounding(struct fault *fault)
{
    for (unsigned long capability = 0; capability < CAPABILITIES_MAX; capability++) {
        int there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (there < 0)
            break;
        if (there == 1 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM)
            return fault_errno(fault, "cannot drop capability %lu from the bounding set", capability);
    }
    return true;
}

static bool have_none(struct fault *fault)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capset, &header, data) != 0)
        return fault_errno(fault, "cannot drop the capabilities");
    memset(data, 0xff, sizeof data);
    if (syscall(SYS_capget, &header, data) != 0)
        return fault_errno(fault, "cannot read the capabilities");
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (data[i].effective || data[i].permitted || data[i].inheritable)
            return fault_set(fault, "capabilities are left after dropping them all");
    return true;
}

bool privileges_drop(struct fault *fault)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_errno(fault, "cannot give up new privileges");
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0,
          0);                                                 /* root executes with none; belt and braces */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* ambient ones go with the permitted ones */
    return drop_bounding(fault) && have_none(fault);
}

/* --- memory and the process itself --- */

bool mdwe_there(void)
{
    return prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0;
}

bool mdwe_set(struct fault *fault)
{
    return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0 ||
           fault_errno(fault, "cannot refuse memory that is both writable and executable");
}

bool dumpable_clear(struct fault *fault)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ||
           fault_errno(fault, "cannot make the process undumpable");
}
