#include "supervisor/bus/objects.h"

#include <string.h>

#include "common/memory.h"

enum { OBJECTS = 2, CREATED_TEXT = 64 };

#define SECOND_NS INT64_C(1000000000)

static const struct {
    const char *stream, *what;
    const char *needed;   /* keys that the bus can't work without; blanks between them */
    const char *expected; /* keys whose difference is told */
} kinds[OBJECTS] = {
    {"AGENTOS", "the stream AGENTOS", "retention subjects", "storage discard duplicate_window"},
    {"KV_agentos", "the bucket agentos (stream KV_agentos)", "max_msgs_per_subject subjects",
     "storage discard max_age"},
};

struct objects {
    struct objects_owner owner;
    /* When each object was made, in the server's words; "": not known yet. */
    char created[OBJECTS][CREATED_TEXT];
    struct timer timer; /* until the next look, or the next attempt */
    struct buffer remark;
};

/* Work-queue retention: a message goes when it is acknowledged. A full stream refuses new messages: it must not drop
 * its old ones. */
static json_t *config_of(size_t kind)
{
    if (kind == 0)
        return json_pack("{s:s, s:[s, s], s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i}", "name",
                         kinds[kind].stream, "subjects", "agentos.agent.*", "agentos.node.*", "retention",
                         "workqueue", "storage", "file", "discard", "new", "duplicate_window",
                         (json_int_t)(120 * SECOND_NS), "num_replicas", 1, "max_consumers", -1, "max_msgs",
                         -1, "max_bytes", -1, "max_age", 0);
    return json_pack("{s:s, s:[s], s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:b}", "name",
                     kinds[kind].stream, "subjects", "$KV.agentos.>", "retention", "limits", "storage",
                     "file", "discard", "new", "max_msgs_per_subject", 1, "num_replicas", 1, "max_consumers",
                     -1, "max_msgs", -1, "max_bytes", -1, "max_age", 0, "allow_rollup_hdrs", 1, "deny_delete",
                     1, "allow_direct", 1);
}

/* Adds the keys that differ, with blanks between them. */
static void compare(const json_t *ours, const json_t *theirs, const char *keys, struct buffer *differing)
{
    OWNED char *copy = memory_text(keys);
    char *rest = copy;
    for (char *key; (key = strsep(&rest, " "));) {
        const json_t *there = json_object_get(theirs, key);
        const char *only = json_string_value(json_array_get(there, 0));
        bool wider = strcmp(key, "subjects") == 0 && only && strcmp(only, "agentos.>") == 0;
        if (!wider && !json_equal(json_object_get(ours, key), there))
            buffer_print(differing, "%s%s", differing->length ? ", " : "", key);
    }
}

static void ask(struct objects *objects, size_t kind, bool create);

static void fail(struct objects *objects, const char *why)
{
    memset(objects->created, 0, sizeof objects->created);
    timer_set(objects->owner.loop, &objects->timer, OBJECTS_LOOK_MS);
    objects->owner.failed(objects->owner.context, why);
}

/* False: the object can't be used, and its fault was told. */
static bool fits(struct objects *objects, size_t kind, const json_t *theirs)
{
    OWNED_BUFFER struct buffer wrong = {0}, other = {0};
    json_t *ours = config_of(kind);
    compare(ours, theirs, kinds[kind].needed, &wrong);
    compare(ours, theirs, kinds[kind].expected, &other);
    json_decref(ours);
    if (other.length)
        buffer_print(&objects->remark, "%s%s was made with another %s than this program gives it",
                     objects->remark.length ? "; " : "", kinds[kind].what, other.data);
    if (!wrong.length)
        return true;
    OWNED char *why =
        memory_print("%s is there with another %s, and can't be used: delete it, so that it is made anew",
                     kinds[kind].what, wrong.data);
    fail(objects, why);
    return false;
}

static void is_there(struct objects *objects, size_t kind, const json_t *info)
{
    const char *created = json_string_value(json_object_get(info, "created"));
    bool first = !*objects->created[kind];
    if (!first && strcmp(objects->created[kind], created ? created : "") != 0) {
        OWNED char *why = memory_print("%s was deleted and made anew by somebody", kinds[kind].what);
        requests_lost(objects->owner.requests, why);
        return;
    }
    if (first && !fits(objects, kind, json_object_get(info, "config")))
        return;
    strlcpy(objects->created[kind], created ? created : "?", CREATED_TEXT);
    if (kind + 1 < OBJECTS) {
        ask(objects, kind + 1, false);
        return;
    }
    timer_set(objects->owner.loop, &objects->timer, OBJECTS_LOOK_MS);
    if (first)
        objects->owner.ready(objects->owner.context, objects->remark.data ? objects->remark.data : "");
}

static void cannot(struct objects *objects, size_t kind, const char *said, int code)
{
    OWNED char *why = code == ERROR_NOT_ENABLED || code == ERROR_NOT_FOR_ACCOUNT
                          ? memory_print("the server has no JetStream for this account: %s", said)
                      : said == REQUEST_NOBODY
                          ? memory_text("the server has no JetStream (nats-server --jetstream)")
                          : memory_print("%s: %s", kinds[kind].what, said);
    fail(objects, why);
}

/* number: the object's kind, and OBJECTS more when it was to be created. */
static void answered(void *context, uint64_t number, const json_t *answer, const char *why)
{
    struct objects *objects = context;
    size_t kind = number % OBJECTS;
    int code = 0;
    const char *error = answer ? request_error(answer, &code) : why;
    if (!error)
        is_there(objects, kind, answer);
    else if (code == ERROR_STREAM_NOT_FOUND && *objects->created[kind]) {
        OWNED char *gone = memory_print("%s was deleted, and is made anew", kinds[kind].what);
        requests_lost(objects->owner.requests, gone);
    } else if (code == ERROR_STREAM_NOT_FOUND && number < OBJECTS)
        ask(objects, kind, true);
    else if (!*objects->created[kind])
        cannot(objects, kind, error, code);
    else if (error == REQUEST_NOBODY) /* JetStream itself is gone */
        requests_lost(objects->owner.requests, "the server has no JetStream any more");
    else
        timer_set(objects->owner.loop, &objects->timer, OBJECTS_LOOK_MS);
}

static void ask(struct objects *objects, size_t kind, bool create)
{
    OWNED char *subject = memory_print("STREAM.%s.%s", create ? "CREATE" : "INFO", kinds[kind].stream);
    requests_ask(objects->owner.requests, subject, create ? config_of(kind) : NULL, answered, objects,
                 kind + (create ? OBJECTS : 0));
}

static void look(void *context)
{
    struct objects *objects = context;
    if (!*objects->created[OBJECTS - 1])
        buffer_drop(&objects->remark, objects->remark.length);
    ask(objects, 0, false);
}

struct objects *objects_new(const struct objects_owner *owner)
{
    struct objects *objects = memory_new(1, sizeof *objects);
    objects->owner = *owner;
    objects->timer = (struct timer){.ring = look, .context = objects};
    return objects;
}

void objects_begin(struct objects *objects)
{
    objects_end(objects);
    look(objects);
}

void objects_again(struct objects *objects)
{
    objects_end(objects);
    timer_set(objects->owner.loop, &objects->timer, OBJECTS_DELETED_MS);
}

void objects_end(struct objects *objects)
{
    timer_clear(objects->owner.loop, &objects->timer);
    memset(objects->created, 0, sizeof objects->created);
}
