#include "worker/queue/attempts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/note_file.h"
#include "common/tree.h"

/* The file is an array of lines of one size, "ID HASH COUNT\n", a slot for each task; a slot of blanks is free. So a
 * count is written by one pwrite of one line, which a kill can't tear. */
enum { SLOT = 40, SLOTS_MAX = 100000 };
static const char attempts_name[] = TREE_NOTES "/attempts";

struct slot {
    uint64_t id, hash;
    unsigned failed; /* attempts that ended with the worker's death, before this process */
    bool used;
};

struct attempts {
    int tree; /* borrowed */
    int fd;   /* of the file; -1: not open */
    struct slot *slots;
    size_t count;
};

static bool load(struct attempts *attempts, struct fault *fault)
{
    OWNED char *text = NULL;
    size_t length;
    int found =
        files_read(attempts->tree, attempts_name, (size_t)SLOT * SLOTS_MAX, &text, &length, NULL, fault);
    if (found != 1)
        return found == 0 || files_lasting(errno);
    attempts->count = length / SLOT;
    attempts->slots = memory_new(attempts->count + 1, sizeof *attempts->slots);
    for (size_t i = 0; i < attempts->count; i++) {
        struct slot *slot = &attempts->slots[i];
        char line[SLOT + 1];
        memcpy(line, text + i * SLOT, SLOT);
        line[SLOT] = '\0';
        slot->used =
            sscanf(line, "%16" SCNx64 " %16" SCNx64 " %4u", &slot->id, &slot->hash, &slot->failed) == 3;
    }
    return true;
}

struct attempts *attempts_open(int tree, struct fault *fault)
{
    struct attempts *attempts = memory_new(1, sizeof *attempts);
    attempts->tree = tree;
    attempts->fd = -1;
    if (load(attempts, fault))
        return attempts;
    attempts_close(attempts);
    return NULL;
}

void attempts_close(struct attempts *attempts)
{
    if (!attempts)
        return;
    memory_close_at(&attempts->fd);
    free(attempts->slots);
    free(attempts);
}

static struct slot *find(const struct attempts *attempts, const char *id, uint64_t hash)
{
    uint64_t id_hash = names_hash(id, strlen(id));
    for (size_t i = 0; i < attempts->count; i++) {
        struct slot *slot = &attempts->slots[i];
        if (slot->used && slot->id == id_hash && slot->hash == hash)
            return slot;
    }
    return NULL;
}

unsigned attempts_failed(const struct attempts *attempts, const char *id, uint64_t hash)
{
    const struct slot *slot = find(attempts, id, hash);
    return slot ? slot->failed : 0;
}

static struct slot *free_slot(struct attempts *attempts)
{
    for (size_t i = 0; i < attempts->count; i++)
        if (!attempts->slots[i].used)
            return &attempts->slots[i];
    attempts->slots = memory_grow(attempts->slots, attempts->count + 1, sizeof *attempts->slots);
    return &attempts->slots[attempts->count++];
}

static bool write_slot(struct attempts *attempts, const struct slot *slot, struct fault *fault)
{
    char line[SLOT + 1];
    if (slot->used)
        snprintf(line, sizeof line, "%016" PRIx64 " %016" PRIx64 " %04u \n", slot->id, slot->hash,
                 (slot->failed + 1) % 10000);
    else
        snprintf(line, sizeof line, "%*s\n", SLOT - 1, "");
    off_t offset = (off_t)(slot - attempts->slots) * SLOT;
    if (!notefile_open(attempts->tree, attempts_name, &attempts->fd) ||
        pwrite(attempts->fd, line, SLOT, offset) != SLOT)
        return fault_errno(fault, "cannot note the attempt in %s; the task isn't begun", attempts_name);
    return true;
}

bool attempts_begin(struct attempts *attempts, const char *id, uint64_t hash, struct fault *fault)
{
    struct slot *slot = find(attempts, id, hash);
    bool fresh = !slot;
    if (fresh) {
        slot = free_slot(attempts);
        *slot = (struct slot){.id = names_hash(id, strlen(id)), .hash = hash, .used = true};
    }
    if (write_slot(attempts, slot, fault))
        return true;
    if (fresh)
        slot->used = false;
    return false;
}

void attempts_end(struct attempts *attempts, const char *id, uint64_t hash)
{
    struct slot *slot = find(attempts, id, hash);
    if (!slot)
        return;
    *slot = (struct slot){0};
    /* If the blank can't be written, the worst is that the task's next attempts count from one more. */
    write_slot(attempts, slot, NULL);
}
