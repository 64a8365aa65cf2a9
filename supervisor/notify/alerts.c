#include "supervisor/notify/alerts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base_url.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/notify/alert.h"
#include "supervisor/notify/signature.h"

TAILQ_HEAD(alert_list, alert);

struct hook {
    struct alerts *alerts;
    char *url, *secret_file, *host;
    char key[17]; /* in the files of the hook's alerts: the URL's hash, for the URL may be a secret */
    unsigned kinds;
    struct alert_list pending;
    size_t count;
    uint64_t serial;   /* of the first message, while it is under way; 0: none is */
    unsigned failures; /* in a row */
    int64_t due;       /* monotonic ms: nothing goes out before */
    bool gone;         /* the hook has answered 410 */
    char *why;         /* of the last failure; NULL: none */
};

struct alerts {
    struct alerts_owner owner;
    struct hook **hooks;
    size_t hook_count;
    uint64_t serial;
    size_t set_aside; /* files that are no alerts */
    bool unwritable;  /* a file couldn't be written, and the log says so */
    struct timer timer;
};

static void turn(void *context);

/* --- hooks --- */

static void hash_of(const char *url, char key[17])
{
    snprintf(key, 17, "%016llx", names_hash(url, strlen(url)));
}

static struct hook *find_hook(const struct alerts *alerts, const char *key)
{
    for (size_t i = 0; i < alerts->hook_count; i++)
        if (strcmp(alerts->hooks[i]->key, key) == 0)
            return alerts->hooks[i];
    return NULL;
}

static struct hook *new_hook(struct alerts *alerts, const char *url)
{
    struct hook *hook = memory_new(1, sizeof *hook);
    *hook = (struct hook){.alerts = alerts, .url = memory_text(url), .host = base_url_host(url)};
    hash_of(url, hook->key);
    TAILQ_INIT(&hook->pending);
    return hook;
}

static void forget(struct hook *hook, struct alert *alert)
{
    TAILQ_REMOVE(&hook->pending, alert, link);
    hook->count--;
    alert_free(alert);
}

static void drop(struct hook *hook, struct alert *alert)
{
    alert_remove(hook->alerts->owner.data, alert);
    forget(hook, alert);
}

static void drop_all(struct hook *hook, const char *why)
{
    if (hook->count)
        log_warn("agentos", NULL, "%zu alert message(s) for %s are dropped: %s", hook->count, hook->host,
                 why);
    while (!TAILQ_EMPTY(&hook->pending))
        drop(hook, TAILQ_FIRST(&hook->pending));
}

static void free_hook(struct hook *hook)
{
    while (!TAILQ_EMPTY(&hook->pending))
        forget(hook, TAILQ_FIRST(&hook->pending));
    free(hook->url);
    free(hook->secret_file);
    free(hook->host);
    free(hook->why);
    free(hook);
}

/* Takes the hooks of the roster in its order; a known hook keeps its pending messages. */
void alerts_roster(struct alerts *alerts, const struct roster *roster)
{
    struct hook **before = alerts->hooks;
    size_t count = alerts->hook_count;
    struct hook **now = memory_new(roster->hook_count, sizeof *now);
    for (size_t i = 0; i < roster->hook_count; i++) {
        const struct roster_hook *defined = &roster->hooks[i];
        for (size_t k = 0; k < count && !now[i]; k++)
            if (before[k] && strcmp(before[k]->url, defined->url) == 0)
                now[i] = before[k], before[k] = NULL;
        now[i] = now[i] ? now[i] : new_hook(alerts, defined->url);
        memory_set(&now[i]->secret_file, defined->secret_file);
        now[i]->kinds = defined->kinds;
        now[i]->gone = false;
        now[i]->due = 0;
    }
    for (size_t k = 0; k < count; k++)
        if (before[k]) {
            drop_all(before[k], "agents.yaml has this hook no more");
            free_hook(before[k]);
        }
    free(before);
    alerts->hooks = now;
    alerts->hook_count = roster->hook_count;
    turn(alerts);
}

/* --- occasions --- */

bool alerts_wanted(const struct alerts *alerts, enum alert_kind kind)
{
    for (size_t i = 0; alerts && i < alerts->hook_count; i++)
        if (alerts->hooks[i]->kinds & 1U << kind && !alerts->hooks[i]->gone)
            return true;
    return false;
}

/* An alert that can't be written is sent nevertheless: somebody must hear of a full disk, too. */
static void write_alert(struct hook *hook, struct alert *alert, bool durable)
{
    struct alerts *alerts = hook->alerts;
    struct fault fault;
    bool written = alert_write(alerts->owner.data, alert, hook->key, hook->host, durable, &fault);
    if (!written && !alerts->unwritable)
        log_error("agentos", NULL, "An alert is kept in memory only: %s", fault.text);
    alerts->unwritable = !written;
}

/* The newest message of this kind that may still take an alert. */
static struct alert *find_open(const struct hook *hook, enum alert_kind kind)
{
    struct alert *alert;
    int64_t window = (int64_t)ALERT_BURST_MS << (hook->failures < 8 ? hook->failures : 8);
    TAILQ_FOREACH_REVERSE(alert, &hook->pending, alert_list, link)
    if (alert->kind == kind) {
        bool recent = clock_monotonic_ms() - alert->raised_ms < window;
        return !alert->closed && (recent || hook->count >= ALERTS_MOST) ? alert : NULL;
    }
    return NULL;
}

/* As long as the message has room for details, each detail is in the file as soon as it is known, so that only a power cut
 * loses it; alerts that are only counted are written when the message is sent. */
static void put(struct hook *hook, enum alert_kind kind, const json_t *data)
{
    struct alert *alert = find_open(hook, kind);
    if (alert) {
        alert_add(alert, data);
    } else {
        alert = alert_new(kind, data);
        TAILQ_INSERT_TAIL(&hook->pending, alert, link);
        hook->count++;
    }
    if (alert_count(alert) <= ALERT_DETAILS)
        write_alert(hook, alert, false);
}

void alerts_raise(struct alerts *alerts, enum alert_kind kind, json_t *data)
{
    for (size_t i = 0; alerts && i < alerts->hook_count; i++)
        if (alerts->hooks[i]->kinds & 1U << kind && !alerts->hooks[i]->gone)
            put(alerts->hooks[i], kind, data);
    json_decref(data);
    if (alerts)
        turn(alerts);
}

/* --- a try --- */

static void failed(struct hook *hook, int64_t retry_after, const char *why)
{
    const struct alert *alert = TAILQ_FIRST(&hook->pending);
    unsigned doublings = hook->failures < 12 ? hook->failures : 12;
    int64_t pause = (int64_t)ALERT_PAUSE_MS << doublings;
    hook->serial = 0;
    hook->failures++;
    if (pause > ALERT_PAUSE_MOST_MS)
        pause = ALERT_PAUSE_MOST_MS;
    pause = pause * (600 + (int64_t)arc4random_uniform(401)) / 1000;
    hook->due = clock_monotonic_ms() + (retry_after > pause ? retry_after : pause);
    if (!hook->why || strcmp(hook->why, why) != 0)
        log_warn("agentos", NULL, "%zu alert message(s) for %s can't be delivered: %s; tried again in %.1f s",
                 hook->count, hook->host, why, (double)(hook->due - clock_monotonic_ms()) / 1000);
    memory_set(&hook->why, why);
    if (clock_now() - alert->created < ALERT_DAYS * 86400)
        return;
    log_error("agentos", NULL, "The alert %s for %s is given up after %d days: %s", alert->id, hook->host,
              ALERT_DAYS, why);
    drop(hook, TAILQ_FIRST(&hook->pending));
}

/* "" where the hook has no secret. NULL and fault. */
static char *sign(const struct hook *hook, const char *id, const char *timestamp, const char *body,
                  struct fault *fault)
{
    struct webhook_secret secret;
    if (!hook->secret_file)
        return memory_text("");
    if (!webhook_secret_read(hook->secret_file, &secret, fault))
        return NULL;
    char *signature = signature_make(&secret, id, timestamp, body);
    webhook_secret_wipe(&secret);
    return signature;
}

static void send_first(struct hook *hook)
{
    struct alerts *alerts = hook->alerts;
    struct alert *alert = TAILQ_FIRST(&hook->pending);
    struct fault fault;
    if (alert->stale)
        write_alert(hook, alert, true);
    OWNED char *timestamp = memory_print("%" PRId64, clock_now());
    OWNED char *body = alert_body(alert);
    OWNED char *signature = sign(hook, alert->id, timestamp, body, &fault);
    if (!signature) {
        failed(hook, -1, fault.text);
        return;
    }
    OWNED_BUFFER struct buffer message = {0};
    uint64_t serial = ++alerts->serial;
    message_make(&message, MESSAGE_NOTIFY, serial, hook->url, alert->id, timestamp, signature, body);
    if (!alerts->owner.to_gateway(alerts->owner.context, &message))
        return; /* alerts_gateway_started sends it */
    alert->closed = true;
    hook->serial = serial;
}

/* When the hook's first message goes out; -1: not before something happens. */
static int64_t due_of(const struct hook *hook)
{
    const struct alert *first = TAILQ_FIRST(&hook->pending);
    if (!first || hook->serial)
        return -1;
    int64_t complete = first->closed ? 0 : first->raised_ms + ALERT_BURST_MS;
    return hook->due > complete ? hook->due : complete;
}

static void turn(void *context)
{
    struct alerts *alerts = context;
    int64_t now = clock_monotonic_ms(), next = -1;
    for (size_t i = 0; i < alerts->hook_count; i++) {
        struct hook *hook = alerts->hooks[i];
        int64_t due = due_of(hook);
        if (due >= 0 && due <= now)
            send_first(hook);
        due = due_of(hook);
        if (due > now && (next < 0 || due < next))
            next = due;
    }
    if (next < 0)
        timer_clear(alerts->owner.loop, &alerts->timer);
    else
        timer_set(alerts->owner.loop, &alerts->timer, next - now);
}

/* --- the gateway's news --- */

static void delivered(struct hook *hook)
{
    if (hook->failures)
        log_info("agentos", NULL, "Alerts reach %s again", hook->host);
    memory_set(&hook->why, NULL);
    hook->failures = 0;
    hook->serial = 0;
    hook->due = 0;
    drop(hook, TAILQ_FIRST(&hook->pending));
}

static void is_gone(struct hook *hook)
{
    hook->gone = true;
    hook->serial = 0;
    log_error("agentos", NULL,
              "%s has answered 410 Gone: no alert is sent there until agents.yaml is applied anew",
              hook->host);
    drop_all(hook, "410 Gone");
}

static void judge(struct hook *hook, uint64_t status, int64_t retry_after, const char *why)
{
    OWNED char *said = status ? memory_print("it answered %" PRIu64, status) : memory_text(why);
    if (status >= 200 && status < 300)
        delivered(hook);
    else if (status == 410)
        is_gone(hook);
    else
        failed(hook, retry_after, said);
}

/* A message of a hook that was taken out meanwhile is under way no more, and its answer is dropped. */
bool alerts_notified(struct alerts *alerts, struct reader *message)
{
    uint64_t serial, status, retry_after;
    OWNED char *why = NULL;
    if (!message_read(message, MESSAGE_NOTIFIED, &serial, &status, &retry_after, &why))
        return false;
    for (size_t i = 0; i < alerts->hook_count; i++)
        if (alerts->hooks[i]->serial == serial && serial)
            judge(alerts->hooks[i], status, retry_after > INT32_MAX ? -1 : (int64_t)retry_after, why);
    turn(alerts);
    return true;
}

/* The message under way may have ended the gateway before, so it counts as a failure of its hook. */
void alerts_gateway_started(struct alerts *alerts)
{
    for (size_t i = 0; i < alerts->hook_count; i++)
        if (alerts->hooks[i]->serial)
            failed(alerts->hooks[i], -1, "the gateway ended meanwhile");
    turn(alerts);
}

/* --- the beginning and the end --- */

static void take_up(void *context, const char *key, const char *host, struct alert *alert)
{
    struct alerts *alerts = context;
    struct hook *hook = find_hook(alerts, key);
    if (!hook) {
        log_warn("agentos", NULL, "The alert %s for %s is dropped: agents.yaml has this hook no more",
                 alert->id, host);
        alert_remove(alerts->owner.data, alert);
        alert_free(alert);
        return;
    }
    TAILQ_INSERT_TAIL(&hook->pending, alert, link);
    if (++hook->count <= ALERTS_MOST)
        return;
    log_warn("agentos", NULL, "The alert %s for %s is dropped: more than %d wait",
             TAILQ_FIRST(&hook->pending)->id, host, ALERTS_MOST);
    drop(hook, TAILQ_FIRST(&hook->pending));
}

struct alerts *alerts_open(const struct alerts_owner *owner, const struct roster *roster)
{
    struct alerts *alerts = memory_new(1, sizeof *alerts);
    alerts->owner = *owner;
    alerts->timer = (struct timer){.ring = turn, .context = alerts};
    alerts_roster(alerts, roster);
    alerts->set_aside = alert_load_all(owner->data, take_up, alerts);
    turn(alerts);
    return alerts;
}

void alerts_close(struct alerts *alerts)
{
    struct alert *alert;
    if (!alerts)
        return;
    timer_clear(alerts->owner.loop, &alerts->timer);
    for (size_t i = 0; i < alerts->hook_count; i++) {
        TAILQ_FOREACH(alert, &alerts->hooks[i]->pending, link)
        if (alert->stale)
            write_alert(alerts->hooks[i], alert, true);
        free_hook(alerts->hooks[i]);
    }
    free(alerts->hooks);
    free(alerts);
}

/* --- for status and metrics --- */

size_t alerts_pending(const struct alerts *alerts)
{
    size_t count = 0;
    for (size_t i = 0; alerts && i < alerts->hook_count; i++)
        count += alerts->hooks[i]->count;
    return count;
}

void alerts_problems(const struct alerts *alerts, struct buffer *lines)
{
    for (size_t i = 0; alerts && i < alerts->hook_count; i++) {
        const struct hook *hook = alerts->hooks[i];
        if (hook->gone)
            buffer_print(lines,
                         "alerts: %s has answered 410 Gone, so no alert is sent there; `agentos reload` "
                         "tries it again\n",
                         hook->host);
        else if (hook->why && hook->count)
            buffer_print(lines, "alerts: %zu message(s) for %s wait: %s\n", hook->count, hook->host,
                         hook->why);
    }
    if (alerts && alerts->set_aside)
        buffer_print(lines,
                     "alerts: %zu file(s) in shared/notify were no alerts, and were set aside at the start\n",
                     alerts->set_aside);
}
