#include "supervisor/agent/rested.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/agent/agent.h"

#define FILE_NAME ".run/rested"

enum {
    FILE_MAX = 256 * 1024 * 1024,
    BOOT_MAX = 64,
    LINE_BYTES = 512,          /* about the most that an agent's line takes */
    SMALL_BYTES = 1024 * 1024, /* a smaller file isn't written anew */
    FIELDS = 10,               /* of a line, before those of the looks */
    LOOK_FIELDS = 5,
    LONG_AGO_MS = 1 /* a glance looks at the tree as soon as its turn comes */
};

struct rested {
    int fd; /* -1: the file can't be written, and isn't there */
    size_t bytes;
    char head[BOOT_MAX * 2]; /* the file's first line */
};

/* Empty where the kernel doesn't tell its boot: no file is trusted then, for no line equals it. */
static void print_head(char *head, size_t size)
{
    char boot[BOOT_MAX] = "";
    OWNED_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, boot, sizeof boot - 1);
    boot[length > 0 ? length : 0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    if (*boot)
        snprintf(head, size, "rested 2 %s %s", AGENTOS_VERSION, boot);
    else
        *head = '\0';
}

/* A tree with a finding, or a tree that is too large, is looked at anew by the next supervisor, which has to tell of
 * it. */
static void print_looks(const struct agent *agent, struct buffer *out)
{
    const struct tree_guard *guard = &agent->guard;
    const struct disk_account *disk = &agent->disk;
    bool quiet = !guard->problem && guard->looked_ms;
    buffer_print(out, " %" PRIx64 " %" PRIx64 " %x %" PRId64 " %" PRId64 "\n", quiet ? guard->mark : 0,
                 guard->top_mark, guard->there, guard->whole_ms,
                 disk->counted_ms && !disk->problem ? disk->limit_mb : 0);
}

static void print_agent(const struct agent *agent, struct buffer *out)
{
    const struct file_stamp *stamp = &agent->notice.queue_stamp;
    const struct figures *figures = &agent->told.figures;
    buffer_print(out, "+%s %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64, agent->name,
                 agent->definition_hash, stamp->device, stamp->inode, stamp->size, stamp->modified_ns,
                 stamp->changed_ns);
    buffer_print(out, " %" PRIu64 " %" PRIu64 " %" PRIu64, figures->dead_letters, figures->negative_streak,
                 figures->tasks_done);
    print_looks(agent, out);
}

/* --- reading --- */

static void forget_looks(struct agent *agent)
{
    agent->guard = (struct tree_guard){.problem = NULL};
    agent->disk.counted_ms = 0;
}

/* Within one boot the monotonic clock is the same for all, and only people have written in the tree since. A last
 * look in the future is refused: the next look would be put off by it. */
static void take_looks(struct agent *agent, const char *text)
{
    struct tree_guard guard = {.problem = NULL};
    int64_t limit_mb = 0;
    if (sscanf(text, "%" SCNx64 " %" SCNx64 " %x %" SCNd64 " %" SCNd64, &guard.mark, &guard.top_mark,
               &guard.there, &guard.whole_ms, &limit_mb) != LOOK_FIELDS)
        return;
    if (guard.mark && guard.whole_ms <= clock_monotonic_ms()) {
        guard.looked_ms = LONG_AGO_MS;
        agent->guard = guard;
    }
    if (limit_mb > 0) {
        agent->disk.limit_mb = limit_mb;
        agent->disk.counted_ms = clock_monotonic_ms();
    }
}

static void take_line(struct agents *agents, const char *line)
{
    char name[256];
    struct file_stamp stamp;
    struct figures figures = {0};
    uint64_t definition = 0;
    int looks = 0;
    int fields = sscanf(line + 1,
                        "%255s %" SCNx64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64
                        " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
                        name, &definition, &stamp.device, &stamp.inode, &stamp.size, &stamp.modified_ns,
                        &stamp.changed_ns, &figures.dead_letters, &figures.negative_streak,
                        &figures.tasks_done, &looks);
    struct agent *agent = fields >= 1 ? lookup_name(&agents->found, name) : NULL;
    if (!agent)
        return;
    forget_looks(agent);
    agent->notice.slept = *line == '+' && fields == FIELDS && definition == agent->definition_hash;
    if (!agent->notice.slept)
        return;
    agent->notice.queue_stamp = stamp;
    agent->told.figures = figures;
    take_looks(agent, line + 1 + looks);
}

static void take_file(struct agents *agents)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    int found = files_read(agents->data, FILE_NAME, FILE_MAX, &text, &length, NULL, &fault);
    if (found < 0)
        log_warn("agentos", NULL, "Every agent is started once: which of them hibernated can't be read: %s",
                 fault.text);
    const char *head = agents->rested->head;
    char *rest = text, *line = found == 1 ? strsep(&rest, "\n") : NULL;
    if (!line || !*head || strcmp(line, head) != 0)
        return;
    /* The text behind the last newline is a line that was cut short. */
    while ((line = strsep(&rest, "\n")) && rest)
        take_line(agents, line);
}

/* --- writing --- */

/* Without the file the next start asks every agent's worker, which is slow and right. */
static void give_up(struct rested *rested, int data, const char *why)
{
    log_warn("agentos", NULL, "Which agents hibernate can't be noted, so the next start starts all: %s", why);
    memory_close_at(&rested->fd);
    rested->fd = -1;
    unlinkat(data, FILE_NAME, 0);
}

static void write_anew(struct agents *agents)
{
    OWNED_BUFFER struct buffer text = {0};
    struct rested *rested = agents->rested;
    struct fault fault;
    buffer_print(&text, "%s\n", rested->head);
    for (size_t i = 0; i < agents->count; i++) {
        const struct agent *agent = agents->list[i];
        if (agent->notice.listed)
            print_agent(agent, &text);
    }
    memory_close_at(&rested->fd);
    if (files_write(agents->data, FILE_NAME, text.data, text.length, false, &fault))
        rested->fd = files_open(agents->data, FILE_NAME, O_WRONLY | O_APPEND, 0);
    else
        rested->fd = -1;
    rested->bytes = text.length;
    if (rested->fd < 0)
        give_up(rested, agents->data, fault.text);
}

static void add(struct agents *agents, const struct buffer *line)
{
    struct rested *rested = agents->rested;
    if (!rested || rested->fd < 0)
        return;
    if (write(rested->fd, line->data, line->length) != (ssize_t)line->length) {
        give_up(rested, agents->data, "a write to " FILE_NAME " failed");
        return;
    }
    rested->bytes += line->length;
    if (rested->bytes > SMALL_BYTES + agents->count * LINE_BYTES)
        write_anew(agents);
}

void rested_note(struct agent *agent)
{
    OWNED_BUFFER struct buffer line = {0};
    if (agent->told.problems &&
        *agent->told.problems) /* only a worker can tell the next supervisor of its problems */
        return;
    print_agent(agent, &line);
    agent->notice.listed = true;
    add(agent->agents, &line);
}

void rested_forget(struct agent *agent)
{
    OWNED_BUFFER struct buffer line = {0};
    if (!agent->notice.listed)
        return;
    agent->notice.listed = false;
    buffer_print(&line, "-%s\n", agent->name);
    add(agent->agents, &line);
}

/* --- begin and end --- */

void rested_begin(struct agents *agents)
{
    agents->rested = memory_new(1, sizeof *agents->rested);
    *agents->rested = (struct rested){.fd = -1};
    print_head(agents->rested->head, sizeof agents->rested->head);
    take_file(agents);
    for (size_t i = 0; i < agents->count; i++)
        agents->list[i]->notice.listed = agents->list[i]->notice.slept;
    write_anew(agents);
}

void rested_end(struct agents *agents)
{
    if (agents->rested)
        memory_close_at(&agents->rested->fd);
    free(agents->rested);
    agents->rested = NULL;
}
