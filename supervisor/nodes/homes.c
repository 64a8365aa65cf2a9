/* The state after a crash at each step:
 *   the key is asked for            no node has the name, or this node has: the next use asks the bucket
 *   the key is there, nothing used  this node is the home, and finds its name in the bucket at the next start
 *   the file is written             the file says `home:` too, which holds while the bus is away
 *   the file is written, not told   other nodes see the former text until the next change, or this node's next start
 *   the key is deleted, file not    the file says `home:` this node: the node puts the key again, unless another node was
 *                                   faster; then the file becomes a copy
 * Between two nodes that both believe to be the home, since the bucket was lost while one was away, the bucket's word
 * counts: the other node's segment is set aside, and its lock moves to the home as soon as it is free. Tokens grow over
 * that, for each word about a lock tells the highest token. */
#include "supervisor/nodes/homes.h"

#include <jansson.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/loop.h"
#include "supervisor/shared/segments.h"
#include "supervisor/store/shared_files.h"

#define HOME_KEY "home."

enum {
    AGAIN_MS = 1000,
    TEXT_MAX = BUS_BYTES_MAX / 2, /* bytes of a file that others get a copy of: JSON may make it longer */
    HOMES_MAX = 100000
};

static const struct {
    const char *name, *folder;
} kinds[HOME_KINDS] = {{"locks", SHARED_LOCKS}, {"segments", SHARED_SEGMENTS}};

struct home {
    char *key; /* owned; first: homes are found by it */
    enum home_kind kind;
    char *file;
    char *node; /* NULL: nobody knows the home */
    uint64_t revision, ticket;
    bool told;     /* the bucket has the home, since the bus is there */
    bool wanted;   /* the name has no home, and this node uses it */
    bool dirty;    /* the home is here, and the other nodes have another text */
    bool leaving;  /* this node forgets the name */
    bool too_long; /* the text is, which the log says */
};

struct homes {
    const struct local_node *local;
    struct homes_owner owner;
    void *by_key; /* tsearch: struct home */
    struct home **all;
    size_t count;
    bool known; /* the bus is there, and has told all keys */
    struct timer timer;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct home *)a)->key, ((const struct home *)b)->key);
}

static bool is_here(const struct home *home)
{
    return home->node && strcmp(home->node, node_name()) == 0;
}

static void due(struct homes *homes, int64_t in_ms)
{
    timer_set(homes->local->loop, &homes->timer, in_ms);
}

/* --- the known homes --- */

static int read_file(const struct homes *homes, const struct home *home, char **text, size_t *length)
{
    return shared_read(homes->local->data, kinds[home->kind].folder, home->file, SEGMENT_FILE_MAX, text,
                       length, NULL, NULL);
}

/* The home in the file's own line. */
static char *noted_home(const struct homes *homes, const struct home *home)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    struct frontmatter matter;
    if (read_file(homes, home, &text, &length) <= 0 ||
        !frontmatter_parse(&matter, text, length, home->file, &fault))
        return NULL;
    const char *node = frontmatter_text(&matter, "home");
    char *noted = node && names_node(node) ? memory_text(node) : NULL;
    frontmatter_free(&matter);
    return noted;
}

static struct home *meet(struct homes *homes, enum home_kind kind, const char *file)
{
    OWNED char *key = memory_print(HOME_KEY "%s.%016llx", kinds[kind].name, names_hash(file, strlen(file)));
    struct home wanted = {.key = key}, **found = tfind(&wanted, &homes->by_key, by_key);
    if (found)
        return strcmp((*found)->file, file) == 0 ? *found : NULL;
    if (homes->count >= HOMES_MAX)
        return NULL;
    struct home *home = memory_new(1, sizeof *home);
    *home = (struct home){.key = memory_text(key), .kind = kind, .file = memory_text(file)};
    home->node = noted_home(homes, home);
    home->dirty = is_here(home);
    tsearch(home, &homes->by_key, by_key);
    MEMORY_MORE(homes->all, homes->count);
    return homes->all[homes->count++] = home;
}

static const char *seen_from_here(const struct home *home)
{
    return !home->node || home->leaving ? "" : is_here(home) ? NULL : home->node;
}

static void set_node(struct homes *homes, struct home *home, const char *node)
{
    if (home->node && node && strcmp(home->node, node) == 0)
        return;
    if (home->node && node)
        log_warn("agentos", NULL, "%s/%s.md has its home on node '%s' now, by the bus's bucket; it was '%s'",
                 kinds[home->kind].folder, home->file, node, home->node);
    memory_set(&home->node, node);
    home->wanted = false;
    home->dirty = is_here(home);
    homes->owner.moved(homes->owner.context, home->kind, home->file, seen_from_here(home));
}

const char *homes_of(struct homes *homes, enum home_kind kind, const char *file, bool use)
{
    if (!homes->local->bus)
        return NULL;
    struct home *home = meet(homes, kind, file);
    if (!home)
        return "";
    if (use && (!home->node || home->leaving) && !home->wanted) {
        home->wanted = true;
        due(homes, 0);
    }
    return seen_from_here(home);
}

/* --- questions to the bucket --- */

static char *value_of(const struct homes *homes, struct home *home)
{
    OWNED char *text = NULL;
    size_t length = 0;
    if (read_file(homes, home, &text, &length) <= 0)
        length = 0;
    if (length > TEXT_MAX && !home->too_long)
        log_warn("agentos", NULL, "%s/%s.md has %zu bytes: other nodes get copies of at most %d",
                 kinds[home->kind].folder, home->file, length, TEXT_MAX);
    home->too_long = length > TEXT_MAX;
    json_t *object = json_pack("{s:s, s:s}", "name", home->file, "node", node_name());
    if (length && !home->too_long)
        json_object_set_new(object, "text", json_stringn(text, length));
    char *value = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return value;
}

static void put(struct homes *homes, struct home *home)
{
    struct bus_link *bus = homes->local->bus;
    uint64_t ticket = bus_link_ticket(bus);
    OWNED char *value = home->leaving ? NULL : value_of(homes, home);
    bool sent = home->leaving ? bus_link_delete(bus, home->key, home->revision, ticket)
                              : bus_link_put(bus, home->key, value, home->revision, ticket);
    home->ticket = sent ? ticket : 0;
    home->dirty = home->dirty && !sent;
}

static bool is_due(const struct home *home)
{
    if (home->ticket)
        return false;
    if (home->leaving)
        return home->revision;
    return is_here(home) ? home->dirty || !home->revision : home->wanted && !home->node && !home->revision;
}

static void turn(void *context)
{
    struct homes *homes = context;
    bool again = false;
    for (size_t i = 0; homes->known && i < homes->count; i++)
        if (is_due(homes->all[i])) {
            put(homes, homes->all[i]);
            again = again || !homes->all[i]->ticket;
        }
    if (again)
        due(homes, AGAIN_MS);
}

void homes_changed(struct homes *homes, enum home_kind kind, const char *file)
{
    struct home *home = homes->local->bus ? meet(homes, kind, file) : NULL;
    if (!home || !is_here(home))
        return;
    home->dirty = true;
    due(homes, 0);
}

void homes_forget(struct homes *homes, enum home_kind kind, const char *file)
{
    struct home *home = homes->local->bus ? meet(homes, kind, file) : NULL;
    if (!home || !is_here(home))
        return;
    home->leaving = true;
    due(homes, 0);
}

/* --- the bucket's news --- */

static void on_state(void *context, bool connected, const char *why)
{
    struct homes *homes = context;
    (void)connected, (void)why;
    homes->known = false;
    for (size_t i = 0; i < homes->count; i++) {
        homes->all[i]->told = false;
        homes->all[i]->dirty = homes->all[i]->dirty || homes->all[i]->ticket;
        homes->all[i]->ticket = 0;
    }
}

static void free_home(struct home *home)
{
    free(home->key);
    free(home->file);
    free(home->node);
    free(home);
}

/* The name has no home now: its home has deleted the key, or a person. */
static void let_go(struct homes *homes, size_t i)
{
    struct home *home = homes->all[i];
    bool is_wanted = home->wanted;
    home->leaving = false;
    set_node(homes, home, NULL);
    home->wanted = home->wanted || is_wanted;
    if (home->wanted || home->ticket)
        return;
    tdelete(home, &homes->by_key, by_key);
    homes->all[i] = homes->all[--homes->count];
    free_home(home);
}

static void on_gone(struct homes *homes, const char *key)
{
    for (size_t i = homes->count; i-- > 0;) {
        struct home *home = homes->all[i];
        if (strcmp(home->key, key) != 0)
            continue;
        home->revision = 0;
        if (!is_here(home) || home->leaving)
            let_go(homes, i);
        due(homes, 0);
    }
}

/* A key of this node's that the bucket lost is put again; a key of another node's waits for that node. */
static void on_all_told(struct homes *homes)
{
    homes->known = true;
    for (size_t i = homes->count; i-- > 0;) {
        if (homes->all[i]->told)
            continue;
        homes->all[i]->revision = 0;
        if (homes->all[i]->leaving)
            let_go(homes, i);
    }
    homes->owner.back(homes->owner.context);
    due(homes, 0);
}

/* The home's text is taken also from a node that isn't there any more. */
static void on_value(struct homes *homes, struct home *home, const char *node, const json_t *text,
                     uint64_t revision)
{
    home->revision = revision;
    home->told = true;
    set_node(homes, home, node);
    if (!is_here(home) && text)
        homes->owner.copy(homes->owner.context, home->kind, home->file, json_string_value(text),
                          json_string_length(text));
    if (is_due(home))
        due(homes, 0);
}

static void on_key(void *context, const char *key, const char *value, uint64_t revision)
{
    struct homes *homes = context;
    if (!key) {
        on_all_told(homes);
        return;
    }
    if (strncmp(key, HOME_KEY, strlen(HOME_KEY)) != 0)
        return;
    if (!value) {
        on_gone(homes, key);
        return;
    }
    json_t *object = json_loads(value, 0, NULL);
    const char *file = json_string_value(json_object_get(object, "name"));
    const char *node = json_string_value(json_object_get(object, "node"));
    for (enum home_kind kind = 0; file && names_id(file) && node && names_node(node) && kind < HOME_KINDS;
         kind++) {
        const char *name = key + strlen(HOME_KEY);
        bool is_kind = strncmp(name, kinds[kind].name, strlen(kinds[kind].name)) == 0;
        struct home *home = is_kind ? meet(homes, kind, file) : NULL;
        if (home && strcmp(home->key, key) == 0)
            on_value(homes, home, node, json_object_get(object, "text"), revision);
    }
    json_decref(object);
}

/* A refused put is settled by the key that was there first: the bucket tells it. */
static void on_kept(void *context, uint64_t ticket, uint64_t revision, const char *why)
{
    struct homes *homes = context;
    for (size_t i = 0; i < homes->count; i++) {
        struct home *home = homes->all[i];
        if (home->ticket != ticket)
            continue;
        home->ticket = 0;
        if (revision && !home->leaving) {
            home->revision = revision;
            home->told = true;
            set_node(homes, home, node_name());
        }
        home->dirty = is_here(home) && (home->dirty || !revision);
        if (home->leaving && !revision)
            home->leaving = false;
        if (is_due(home))
            due(homes, strcmp(why, "") == 0 ? 0 : AGAIN_MS);
        return;
    }
}

struct homes *homes_open(const struct local_node *local, const struct homes_owner *owner)
{
    struct homes *homes = memory_new(1, sizeof *homes);
    homes->local = local;
    homes->owner = *owner;
    homes->timer = (struct timer){.ring = turn, .context = homes};
    return homes;
}

void homes_begin(struct homes *homes)
{
    bus_link_join(homes->local->bus,
                  &(struct bus_owner){.state = on_state, .key = on_key, .kept = on_kept, .context = homes});
}

static void leave_alone(void *home)
{
    (void)home;
}

void homes_close(struct homes *homes)
{
    if (!homes)
        return;
    timer_clear(homes->local->loop, &homes->timer);
    tdestroy(homes->by_key, leave_alone);
    for (size_t i = 0; i < homes->count; i++)
        free_home(homes->all[i]);
    free(homes->all);
    free(homes);
}
