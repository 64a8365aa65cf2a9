/* Any bytes as a file that lies in a queue's folder, at start or dropped later: an item, or set aside, or left; its
 * bytes lie there in any case, and the file stays what it became. */
#include <fcntl.h>

#include "scratch.h"

#include "common/clock.h"
#include "supervisor/post/post.h"
#include "supervisor/store/shared_files.h"
#include "tests/unit/queue_stubs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
    "agents:\n  - {name: orion, persona: p}\nqueues:\n  - {name: reviews, consumers: [orion]}\n";

static int64_t room(void *context, const char *agent)
{
    (void)context, (void)agent;
    return 0;
}

static bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    (void)context, (void)agent, (void)envelope, (void)fault;
    abort(); /* no consumer has room */
}

static int take(void *context, const char *agent, const char *id, int folder, const char *name,
                struct envelope *copy, struct fault *fault)
{
    (void)context, (void)agent, (void)id, (void)folder, (void)name, (void)copy, (void)fault;
    return 0;
}

static bool bounce(void *context, const struct envelope *about, const char *from, const char *reason,
                   struct fault *fault)
{
    (void)context, (void)about, (void)from, (void)reason, (void)fault;
    return true;
}

static bool bury(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    (void)agent, (void)envelope, (void)fault;
    *(bool *)context = true;
    return true;
}

static void tell(void *context, const char *agent, const char *event, const struct envelope *envelope,
                 const char *reason)
{
    (void)context, (void)agent, (void)event, (void)envelope, (void)reason;
}

static int read_copy(void *context, const char *agent, unsigned place, const char *id, struct envelope *copy)
{
    (void)context, (void)agent, (void)place, (void)id, (void)copy;
    return 0;
}

static enum queue_worker worker(void *context, const char *agent)
{
    (void)context, (void)agent;
    return QUEUE_WORKER_NONE;
}

static bool unfinished(void *context, const char *agent)
{
    (void)context, (void)agent;
    return false;
}

static void timer(void *context, int64_t in_ms)
{
    (void)context, (void)in_ms;
}

static const struct queues_operations operations = {.room = room,
                                                    .may_send_to = to_everybody,
                                                    .each_id = no_ids,
                                                    .lies = lies_nowhere,
                                                    .put = put,
                                                    .take = take,
                                                    .bounce = bounce,
                                                    .bury = bury,
                                                    .tell = tell,
                                                    .read = read_copy,
                                                    .worker = worker,
                                                    .unfinished = unfinished,
                                                    .timer = timer};

/* The one file of the folder, hidden ones aside: its name and its text. False: there is none. */
static bool only_file(int folder, char **name, char **text, size_t *length)
{
    DIR *listing = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    *name = *text = NULL;
    for (struct dirent *entry; listing && (entry = readdir(listing));)
        if (entry->d_name[0] != '.') {
            if (*name)
                abort();
            *name = memory_text(entry->d_name);
        }
    closedir(listing);
    return *name && files_read(folder, *name, 1 << 20, text, length, NULL, NULL) == 1;
}

static void turn(struct queues *queues, struct expiry *expiry)
{
    while (expiry_ring(expiry, clock_now()))
        ;
    queues_turn(queues);
}

static void check(struct queues *queues, int folder, bool buried)
{
    size_t waiting, under_way, length;
    OWNED char *name = NULL, *text = NULL;
    queues_count(queues, "reviews", &waiting, &under_way);
    bool there = only_file(folder, &name, &text, &length);
    if (there == buried || waiting + under_way > 1 || (waiting && (!name || strstr(name, ".unreadable-"))))
        abort();
    struct envelope item;
    if (waiting && (!envelope_parse(&item, text, length, name, NULL) || strcmp(item.status, "pending") != 0))
        abort();
    if (waiting)
        envelope_free(&item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"note.md", "note.txt", "my note.md", "note"};
    OWNED_BUFFER struct buffer faults = {0};
    OWNED_FD int folder = scratch_folder(SHARED_QUEUES "/reviews");
    struct roster *roster = roster_parse(yaml, sizeof yaml - 1, "agents.yaml", &faults);
    struct expiry *expiry = expiry_new(nothing, NULL);
    bool buried = false, later = size && data[size - 1] & 4;
    struct queues *queues = queues_open(scratch_data, expiry, &operations, &buried);
    queues_roster(queues, roster);
    if (later)
        queues_start(queues);
    scratch_put(folder, names[size ? data[size - 1] & 3 : 0], data, size ? size - 1 : 0);
    if (later)
        queues_scan(queues);
    else
        queues_start(queues);
    for (int i = 0; i < 3; i++) {
        turn(queues, expiry);
        check(queues, folder, buried);
        queues_scan(queues);
    }
    queues_close(queues);
    expiry_free(expiry);
    roster_free(roster);
    return 0;
}
