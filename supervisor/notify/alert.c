#include "supervisor/notify/alert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/utf8.h"
#include "supervisor/store/shared_files.h"

enum { FILE_MOST = 256 * 1024 };

json_t *alert_text(const char *text)
{
    OWNED char *clean = printable_text(text ? text : "", text ? strlen(text) : 0, false);
    return json_stringn(clean, utf8_cut(clean, strlen(clean), ALERT_TEXT_MOST));
}

struct alert *alert_new(enum alert_kind kind, const json_t *data)
{
    char now[CLOCK_TEXT];
    struct alert *alert = memory_new(1, sizeof *alert);
    *alert = (struct alert){.id = names_new_id(),
                            .kind = kind,
                            .created = clock_now(),
                            .raised_ms = clock_monotonic_ms(),
                            .stale = true};
    json_t *first = json_deep_copy(data);
    json_object_set_new(first, "count", json_integer(1));
    alert->body = json_pack("{s:s, s:s, s:o}", "type", alert_name(kind), "timestamp",
                            clock_format(alert->created, now), "data", first);
    return alert;
}

static json_t *data_of(const struct alert *alert)
{
    return json_object_get(alert->body, "data");
}

size_t alert_count(const struct alert *alert)
{
    return (size_t)json_integer_value(json_object_get(data_of(alert), "count"));
}

void alert_add(struct alert *alert, const json_t *data)
{
    size_t count = alert_count(alert) + 1;
    json_t *first = data_of(alert);
    if (count == 2)
        json_object_set_new(first, "more", json_array());
    if (count <= ALERT_DETAILS)
        json_array_append_new(json_object_get(first, "more"), json_deep_copy(data));
    json_object_set_new(first, "count", json_integer((json_int_t)count));
    alert->stale = true;
}

char *alert_body(const struct alert *alert)
{
    return json_dumps(alert->body, JSON_COMPACT | JSON_PRESERVE_ORDER);
}

void alert_free(struct alert *alert)
{
    json_decref(alert->body);
    free(alert->id);
    free(alert);
}

/* --- its file --- */

bool alert_write(int data, struct alert *alert, const char *hook, const char *host, bool durable,
                 struct fault *fault)
{
    json_auto_t *object = json_pack("{s:s, s:s, s:O}", "hook", hook, "host", host, "message", alert->body);
    OWNED char *text = json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    OWNED_BUFFER struct buffer lines = {0};
    buffer_print(&lines, "%s\n", text);
    bool written = shared_write(data, SHARED_NOTIFY, alert->id, &lines, durable, fault);
    alert->stale = !written || !durable;
    return written;
}

void alert_remove(int data, const struct alert *alert)
{
    struct fault fault;
    if (!shared_remove(data, SHARED_NOTIFY, alert->id, &fault))
        log_warn("agentos", NULL, "The file of an alert that is done with stays, and is sent again: %s",
                 fault.text);
}

/* Takes message. NULL: the message is no alert. */
static struct alert *alert_of(const char *id, json_t *message)
{
    json_t *count = json_object_get(json_object_get(message, "data"), "count");
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *at = json_string_value(json_object_get(message, "timestamp"));
    int64_t created;
    unsigned kind = 0;
    while (type && kind < ALERT_KINDS && strcmp(type, alert_name(kind)) != 0)
        kind++;
    if (!type || kind == ALERT_KINDS || !at || !clock_parse(at, &created) || !json_is_integer(count)) {
        json_decref(message);
        return NULL;
    }
    struct alert *alert = memory_new(1, sizeof *alert);
    *alert = (struct alert){.id = memory_text(id),
                            .kind = (enum alert_kind)kind,
                            .body = message,
                            .created = created,
                            .raised_ms = clock_monotonic_ms(),
                            .closed = true,
                            .stale = true};
    return alert;
}

struct loading {
    int data;
    void (*take)(void *context, const char *hook, const char *host, struct alert *alert);
    void *context;
    size_t set_aside;
};

static void set_aside(struct loading *loading, const char *file)
{
    struct fault fault;
    OWNED char *aside = NULL;
    loading->set_aside++;
    if (shared_set_aside(loading->data, SHARED_NOTIFY, file, &aside, &fault))
        log_warn("agentos", NULL, SHARED_NOTIFY "/%s is no alert; it was set aside as %s", file, aside);
    else
        log_warn("agentos", NULL, SHARED_NOTIFY "/%s is no alert: %s", file, fault.text);
}

static void load(void *context, const char *file)
{
    struct loading *loading = context;
    size_t length = strlen(file), text_length;
    if (length < 6 || strcmp(file + length - 5, ".json") != 0)
        return;
    OWNED char *id = memory_slice(file, length - 5), *text = NULL;
    struct fault fault;
    if (shared_read(loading->data, SHARED_NOTIFY, id, FILE_MOST, &text, &text_length, NULL, &fault) < 0 &&
        !files_lasting(errno)) {
        log_error("agentos", NULL, "%s; this alert waits for the next start", fault.text);
        return;
    }
    json_auto_t *object = text ? json_loadb(text, text_length, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *hook = json_string_value(json_object_get(object, "hook"));
    const char *host = json_string_value(json_object_get(object, "host"));
    struct alert *alert = names_id(id) ? alert_of(id, json_incref(json_object_get(object, "message"))) : NULL;
    if (alert && hook && host) {
        loading->take(loading->context, hook, host, alert);
    } else {
        if (alert)
            alert_free(alert);
        set_aside(loading, file);
    }
}

size_t alert_load_all(int data,
                      void (*take)(void *context, const char *hook, const char *host, struct alert *alert),
                      void *context)
{
    struct loading loading = {.data = data, .take = take, .context = context};
    struct fault fault;
    shared_tidy(data, SHARED_NOTIFY);
    if (!shared_each(data, SHARED_NOTIFY, load, &loading, &fault))
        log_error("agentos", NULL, "%s; the alerts in it wait for the next start", fault.text);
    return loading.set_aside;
}
