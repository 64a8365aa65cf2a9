#include "supervisor/shared/quarantine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/store/shared_files.h"

#define MARK ".unreadable-"

enum origin { OF_QUEUE, OF_SEGMENT, OF_LOCK, OF_NOBODY /* agents.yaml has no such queue */ };

struct quarantined {
    enum origin of;
    char *name, *path, *why;
};

struct quarantine {
    struct quarantined *items;
    size_t count;
};

/* While one folder is looked at. */
struct looking {
    struct quarantine *quarantine;
    const char *folder, *queue; /* queue: the folder's; NULL: the segments' or the locks' folder */
    enum origin of;
    int data;
    size_t left;
    const struct roster *roster;
};

struct quarantine *quarantine_new(void)
{
    return memory_new(1, sizeof(struct quarantine));
}

static void forget(struct quarantine *quarantine)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        free(quarantine->items[i].name);
        free(quarantine->items[i].path);
        free(quarantine->items[i].why);
    }
    free(quarantine->items);
    *quarantine = (struct quarantine){0};
}

void quarantine_free(struct quarantine *quarantine)
{
    if (!quarantine)
        return;
    forget(quarantine);
    free(quarantine);
}

/* The file's fault, from its text; NULL: it would do now, or can't be read. */
static char *what_it_lacks(const struct looking *looking, const char *path)
{
    OWNED char *text = NULL;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    size_t length;
    if (looking->of != OF_QUEUE)
        return memory_text("it is not in the format of its folder; the log says why");
    int found = files_read(looking->data, path, ENVELOPE_FILE_MAX, &text, &length, NULL, &fault);
    if (found == 0)
        return NULL;
    struct file_stamp stamp = files_stamp_at(looking->data, path);
    if (stamp.size > ENVELOPE_MAX)
        return memory_print("it has %zu bytes, an envelope at most %d", stamp.size, ENVELOPE_MAX);
    if (found == 1 && strspn(text, " \t\r\n") == length)
        return memory_text("it has no text");
    if (found < 0 || !envelope_parse(&envelope, text, length, path, &fault))
        return memory_text(fault.text);
    return memory_text("it was no item when it was looked at; rename it to ID.md to have it done");
}

static void see(void *context, const char *file)
{
    struct looking *looking = context;
    struct quarantine *quarantine = looking->quarantine;
    const char *mark = strstr(file, MARK);
    bool is_stray = !mark && looking->of == OF_QUEUE && !names_work(file) && !names_temporary(file);
    if ((!mark && !is_stray) || looking->left == 0)
        return;
    size_t length = mark ? (size_t)(mark - file) : strlen(file);
    if (length > 3 && mark && strncmp(mark - 3, ".md", 3) == 0)
        length -= 3;
    OWNED char *path = memory_print("%s/%s", looking->folder, file);
    OWNED char *lacks = is_stray ? NULL : what_it_lacks(looking, path);
    char *why = is_stray ? memory_print("is no work: %s", names_conflict(file)
                                                              ? "it is a synchroniser's conflict copy"
                                                              : "only a file whose name ends in .md is")
                         : memory_print("was set aside: %s", lacks ? lacks : "it is gone");
    looking->left--;
    *MEMORY_ADD(quarantine->items, quarantine->count) = (struct quarantined){
        .of = looking->of,
        .name = looking->queue ? memory_text(looking->queue) : memory_slice(file, length),
        .path = memory_text(path),
        .why = why};
}

static void count_work(void *context, const char *file)
{
    size_t *count = context;
    *count += names_work(file);
}

/* Beside the queues' own folders: work that nobody takes, since its queue is misspelt, or left agents.yaml. */
static void see_beside(void *context, const char *name)
{
    struct looking *looking = context;
    for (size_t i = 0; i < looking->roster->queue_count; i++)
        if (strcmp(looking->roster->queues[i].name, name) == 0)
            return;
    size_t count = 0;
    OWNED char *path = memory_print("%s/%s", looking->folder, name), *why = NULL;
    OWNED_FD int folder = files_open(looking->data, path, O_RDONLY | O_DIRECTORY, 0);
    if (folder >= 0)
        shared_each(looking->data, path, count_work, &count, NULL);
    if (count)
        why = memory_print("holds %zu file(s) of work, and agents.yaml has no queue '%s': they wait", count,
                           name);
    else if (folder < 0 && names_work(name))
        why = memory_text("lies in no queue's folder, so it is nobody's work");
    if (!why || looking->left == 0)
        return;
    looking->left--;
    *MEMORY_ADD(looking->quarantine->items, looking->quarantine->count) =
        (struct quarantined){.of = OF_NOBODY, .path = path, .why = why};
    path = why = NULL;
}

static void look_into(struct looking looking, enum origin of, const char *folder, const char *queue)
{
    looking.of = of;
    looking.folder = folder;
    looking.queue = queue;
    looking.left = QUARANTINE_SHOWN;
    shared_each(looking.data, folder, of == OF_NOBODY ? see_beside : see, &looking, NULL);
}

void quarantine_look(struct quarantine *quarantine, int data, const struct roster *roster)
{
    const struct looking looking = {.quarantine = quarantine, .data = data, .roster = roster};
    forget(quarantine);
    for (size_t i = 0; i < roster->queue_count; i++) {
        OWNED char *folder = memory_print(SHARED_QUEUES "/%s", roster->queues[i].name);
        look_into(looking, OF_QUEUE, folder, roster->queues[i].name);
    }
    if (roster->segment_count)
        look_into(looking, OF_SEGMENT, SHARED_SEGMENTS, NULL);
    look_into(looking, OF_LOCK, SHARED_LOCKS, NULL);
    look_into(looking, OF_NOBODY, SHARED_QUEUES, NULL);
}

static bool concerns(const struct quarantined *aside, const struct roster *roster, const char *agent)
{
    if (aside->of == OF_LOCK)
        return true; /* any agent's task may ask for the lock */
    for (size_t i = 0; aside->of == OF_QUEUE && i < roster->queue_count; i++)
        if (strcmp(roster->queues[i].name, aside->name) == 0)
            return text_list_has(&roster->queues[i].consumers, agent);
    for (size_t i = 0; aside->of == OF_SEGMENT && i < roster->segment_count; i++) {
        const struct roster_segment *segment = &roster->segments[i];
        if (strcmp(segment->name, aside->name) == 0)
            return text_list_has(&segment->readers, agent) || text_list_has(&segment->writers, agent);
    }
    return false;
}

void quarantine_print(const struct quarantine *quarantine, const struct roster *roster, const char *agent,
                      struct buffer *out)
{
    for (size_t i = 0; i < quarantine->count; i++)
        if (concerns(&quarantine->items[i], roster, agent))
            buffer_print(out, "%s %s\n", quarantine->items[i].path, quarantine->items[i].why);
}

void quarantine_print_own(const struct quarantine *quarantine, struct buffer *out)
{
    for (size_t i = 0; i < quarantine->count; i++)
        if (quarantine->items[i].of == OF_NOBODY)
            buffer_print(out, "%s %s\n", quarantine->items[i].path, quarantine->items[i].why);
}
