#include "supervisor/post/envelope_index.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"

struct parcels {
    struct parcel **table; /* by id */
    size_t capacity, count;
};

struct parcels *parcels_new(void)
{
    struct parcels *parcels = memory_new(1, sizeof *parcels);
    parcels->capacity = 256;
    parcels->table = memory_new(parcels->capacity, sizeof *parcels->table);
    return parcels;
}

void parcels_keep(struct parcel *parcel, struct envelope *letter)
{
    if (parcel->letter)
        envelope_free(parcel->letter);
    free(parcel->letter);
    parcel->letter = letter;
}

static void free_parcel(struct parcel *parcel)
{
    parcels_keep(parcel, NULL);
    free(parcel->id);
    free(parcel->from);
    free(parcel);
}

void parcels_free(struct parcels *parcels)
{
    if (!parcels)
        return;
    for (size_t i = 0; i < parcels->capacity; i++)
        for (struct parcel *parcel = parcels->table[i], *next; parcel; parcel = next) {
            next = parcel->chain;
            free_parcel(parcel);
        }
    free(parcels->table);
    free(parcels);
}

static struct parcel **chain_of(const struct parcels *parcels, const char *id)
{
    return &parcels->table[names_hash(id, strlen(id)) & (parcels->capacity - 1)];
}

static void enlarge(struct parcels *parcels)
{
    struct parcel **old = parcels->table;
    size_t count = parcels->capacity;
    parcels->capacity = count * 2;
    parcels->table = memory_new(parcels->capacity, sizeof *parcels->table);
    for (size_t i = 0; i < count; i++)
        for (struct parcel *parcel = old[i], *next; parcel; parcel = next) {
            struct parcel **chain = chain_of(parcels, parcel->id);
            next = parcel->chain;
            parcel->chain = *chain;
            *chain = parcel;
        }
    free(old);
}

static bool is_unfinished(const struct parcel *parcel)
{
    return !parcel->bad && envelope_kind_has(parcel->kind, KIND_EXPECTS_ANSWER);
}

struct parcel *parcels_add(struct parcels *parcels, struct shelf *shelf, struct box *box, enum folder folder,
                           const char *id)
{
    if (parcels->count >= parcels->capacity)
        enlarge(parcels);
    struct parcel *parcel = memory_new(1, sizeof *parcel);
    struct parcel **chain = chain_of(parcels, id);
    *parcel = (struct parcel){
        .box = box, .folder = folder, .id = memory_text(id), .shelf = shelf, .next = shelf->first};
    parcel->chain = *chain;
    *chain = parcel;
    if (shelf->first)
        shelf->first->previous = parcel;
    shelf->first = parcel;
    shelf->count++;
    shelf->unfinished += is_unfinished(parcel);
    parcels->count++;
    return parcel;
}

void parcels_drop(struct parcels *parcels, struct parcel *parcel)
{
    struct parcel **at = chain_of(parcels, parcel->id);
    while (*at != parcel)
        at = &(*at)->chain;
    *at = parcel->chain;
    if (parcel->previous)
        parcel->previous->next = parcel->next;
    else
        parcel->shelf->first = parcel->next;
    if (parcel->next)
        parcel->next->previous = parcel->previous;
    parcel->shelf->count--;
    parcel->shelf->unfinished -= is_unfinished(parcel);
    parcels->count--;
    free_parcel(parcel);
}

struct parcel *parcels_find(const struct parcels *parcels, const struct box *box, enum folder folder,
                            const char *id)
{
    struct parcel *parcel = *chain_of(parcels, id);
    while (parcel && (parcel->box != box || parcel->folder != folder || strcmp(parcel->id, id) != 0))
        parcel = parcel->chain;
    return parcel;
}

struct parcel *parcels_elsewhere(const struct parcels *parcels, const struct parcel *parcel)
{
    struct parcel *other = *chain_of(parcels, parcel->id);
    while (other && (other == parcel || other->to || strcmp(other->id, parcel->id) != 0))
        other = other->chain;
    return other;
}

size_t parcels_count(const struct parcels *parcels)
{
    return parcels->count;
}

void parcels_describe(struct parcel *parcel, const struct envelope *envelope)
{
    parcel->shelf->unfinished -= is_unfinished(parcel);
    char *from = memory_text(envelope->from);
    free(parcel->from);
    parcel->from = from;
    parcel->kind = envelope->kind;
    parcel->priority = envelope->priority;
    parcel->created = envelope->created;
    parcel->ttl_seconds = envelope->ttl_seconds;
    parcel->bad = false;
    parcel->reading = strcmp(envelope->status, "reading") == 0;
    parcel->shelf->unfinished += is_unfinished(parcel);
}

void parcels_spoil(struct parcel *parcel)
{
    parcel->shelf->unfinished -= is_unfinished(parcel);
    parcel->bad = true;
    parcel->reading = false;
}

bool parcels_before(const struct parcel *a, const struct parcel *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->created != b->created)
        return a->created < b->created;
    return strcmp(a->id, b->id) < 0;
}
