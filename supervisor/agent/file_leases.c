/* Leases that agents keep on their own files (contract section 11): a process that opens such a file waits until the
 * lease's holder lets go, or until the kernel ends the lease, after lease-break-time (45 s). The supervisor never
 * waits, but a person may. So each scan looks for leases that somebody waits for (where workers are very many, each
 * second or third scan, and every fifteen seconds at least): a worker that keeps the same lease from one look to the
 * next is ended, and its leases with it. An honest worker has a lease on queue.md for a moment; on that file the
 * kernel's time holds. */
#include "supervisor/agent/file_leases.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"

enum {
    SHARE = 1000,              /* of the time, for the kernel's list of all locks: each worker has two */
    REST_US = 15 * 1000 * 1000 /* at most: two looks have to meet a lease before the kernel ends it */
};

static bool is_of_queue(const struct agents *agents, const struct agent *agent, uint64_t inode)
{
    OWNED char *path = memory_print("agents/%s/" TREE_QUEUE, agent->name);
    return files_stamp_at(agents->data, path).inode == inode;
}

static bool was_met(const struct file_leases *met, const struct file_lease *lease)
{
    for (size_t i = 0; i < met->count; i++)
        if (met->all[i].pid == lease->pid && met->all[i].inode == lease->inode)
            return true;
    return false;
}

static void meet(struct agents *agents, const struct file_leases *met, struct file_leases *now,
                 const struct file_lease *lease)
{
    struct agent *agent = agents_of_process(agents, lease->pid);
    if (!agent || is_of_queue(agents, agent, lease->inode))
        return;
    if (was_met(met, lease))
        agent_distrust(agent, "it keeps a lease on a file that others want to read");
    else if (now->count < FILE_LEASES_MET)
        now->all[now->count++] = *lease;
}

void file_leases_scan(struct agents *agents, struct file_leases *met)
{
    char line[256];
    struct file_leases now = {.count = 0};
    int64_t begun_us = clock_kernel_monotonic_us();
    if (begun_us < met->rest_until_us)
        return;
    OWNED_FILE FILE *locks = fopen("/proc/locks", "re");
    while (locks && fgets(line, sizeof line, locks)) {
        struct file_lease lease;
        if (sscanf(line, "%*[^:]: LEASE BREAKING %*s %d %*[^:]:%*[^:]:%" SCNu64, &lease.pid, &lease.inode) ==
            2)
            meet(agents, met, &now, &lease);
    }
    int64_t ended_us = clock_kernel_monotonic_us();
    int64_t rest_us = (ended_us - begun_us) * SHARE;
    now.rest_until_us = ended_us + (rest_us < REST_US ? rest_us : REST_US);
    *met = now;
}
