#include "supervisor/post/envelope_index.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"

struct envelope_index {
    struct index_entry **table; /* by id */
    size_t capacity, count;
};

struct envelope_index *envelope_index_new(void)
{
    struct envelope_index *index = memory_new(1, sizeof *index);
    index->capacity = 256;
    index->table = memory_new(index->capacity, sizeof *index->table);
    return index;
}

void envelope_index_keep(struct index_entry *entry, struct envelope *letter)
{
    if (entry->envelope)
        envelope_free(entry->envelope);
    free(entry->envelope);
    entry->envelope = letter;
}

static void free_entry(struct index_entry *entry)
{
    envelope_index_keep(entry, NULL);
    free(entry->id);
    free(entry->from);
    free(entry->trace);
    free(entry);
}

void envelope_index_free(struct envelope_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->capacity; i++)
        for (struct index_entry *entry = index->table[i], *next; entry; entry = next) {
            next = entry->chain;
            free_entry(entry);
        }
    free(index->table);
    free(index);
}

static struct index_entry **chain_of(const struct envelope_index *index, const char *id)
{
    return &index->table[names_hash(id, strlen(id)) & (index->capacity - 1)];
}

static void enlarge(struct envelope_index *index)
{
    struct index_entry **old = index->table;
    size_t count = index->capacity;
    index->capacity = count * 2;
    index->table = memory_new(index->capacity, sizeof *index->table);
    for (size_t i = 0; i < count; i++)
        for (struct index_entry *entry = old[i], *next; entry; entry = next) {
            struct index_entry **chain = chain_of(index, entry->id);
            next = entry->chain;
            entry->chain = *chain;
            *chain = entry;
        }
    free(old);
}

static bool is_unfinished(const struct index_entry *entry)
{
    return !entry->bad && envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
}

struct index_entry *envelope_index_add(struct envelope_index *index, struct shelf *shelf, struct box *box,
                                       enum folder folder, const char *id)
{
    if (index->count >= index->capacity)
        enlarge(index);
    struct index_entry *entry = memory_new(1, sizeof *entry);
    struct index_entry **chain = chain_of(index, id);
    *entry = (struct index_entry){
        .box = box, .folder = folder, .id = memory_text(id), .shelf = shelf, .next = shelf->first};
    entry->chain = *chain;
    *chain = entry;
    if (shelf->first)
        shelf->first->previous = entry;
    shelf->first = entry;
    shelf->count++;
    shelf->unfinished += is_unfinished(entry);
    index->count++;
    return entry;
}

void envelope_index_drop(struct envelope_index *index, struct index_entry *entry)
{
    struct index_entry **at = chain_of(index, entry->id);
    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        entry->shelf->first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    entry->shelf->count--;
    entry->shelf->unfinished -= is_unfinished(entry);
    index->count--;
    free_entry(entry);
}

struct index_entry *envelope_index_find(const struct envelope_index *index, const struct box *box,
                                        enum folder folder, const char *id)
{
    struct index_entry *entry = *chain_of(index, id);
    while (entry && (entry->box != box || entry->folder != folder || strcmp(entry->id, id) != 0))
        entry = entry->chain;
    return entry;
}

struct index_entry *envelope_index_elsewhere(const struct envelope_index *index,
                                             const struct index_entry *entry)
{
    struct index_entry *other = *chain_of(index, entry->id);
    while (other && (other == entry || other->to || strcmp(other->id, entry->id) != 0))
        other = other->chain;
    return other;
}

void envelope_index_describe(struct index_entry *entry, const struct envelope *envelope)
{
    entry->shelf->unfinished -= is_unfinished(entry);
    char *from = memory_text(envelope->from);
    free(entry->from);
    entry->from = from;
    if (!entry->trace && envelope->trace) { /* a receiver's worker may write another trace there later */
        entry->trace = memory_text(envelope->trace);
        entry->hops = envelope->hops;
    }
    entry->kind = envelope->kind;
    entry->priority = envelope->priority;
    entry->created = envelope->created;
    entry->ttl_seconds = envelope->ttl_seconds;
    entry->bad = false;
    entry->reading = strcmp(envelope->status, "reading") == 0;
    entry->shelf->unfinished += is_unfinished(entry);
}

void envelope_index_spoil(struct index_entry *entry)
{
    entry->shelf->unfinished -= is_unfinished(entry);
    entry->bad = true;
    entry->reading = false;
}

bool envelope_index_before(const struct index_entry *a, const struct index_entry *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->created != b->created)
        return a->created < b->created;
    return strcmp(a->id, b->id) < 0;
}
