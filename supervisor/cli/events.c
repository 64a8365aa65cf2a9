/* `agentos events`: the system's events as they happen. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/event_words.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

/* An event's sentence in the log's form: {key} stands for the event's text of that key, {:key} for that text behind a
 * colon and a blank, or for nothing where the event has no such text. */
static const struct sentence {
    const char *event, *level, *text;
} SENTENCES[] = {
    {"state", "INFO", "{from} -> {to}"},
    {"worker_started", "INFO", "worker started (pid {pid})"},
    {"worker_exited", "INFO", "worker (pid {pid}) has ended: {how}"},
    {"finished", "INFO", "task {task} ended: {end}, reward {reward}, {tokens} tokens, commit {commit}"},
    {"waiting", "WARN", "waiting for the {what} until {until}{:why}"},
    {"problem", "WARN", "problem: {problem}"},
    {"problem_cleared", "INFO", "no problem any more: {problem}"},
    {"negative_streak", "WARN", "the last {count} tasks failed"},
    {"rolled_back", "INFO", "learning undone: {said}"},
    {"scheduled", "INFO", "scheduled task {task} is in its queue"},
    {"audit", "INFO", "task {task}: the audit agrees with reward {reward}{:reasons}"},
    {"audit_divergence", "WARN",
     "task {task}: the audit says {audit_score}, the agent said {reward}{:reasons}"},
    {"lock_granted", "INFO", "task {task} has the lock {lock}, token {token}"},
    {"lock_released", "INFO", "task {task} has given back the lock {lock}, token {token}"},
    {"lock_expired", "WARN", "task {task} has lost the lock {lock}, token {token}: its lease is over"},
    {"gateway_started", "WARN", "gateway started again (pid {pid})"},
    {"http_started", "INFO", "HTTP interface started (pid {pid})"},
    {"reload_applied", "INFO", "agents.yaml applied: {said}"},
    {"reload_refused", "ERROR", "agents.yaml refused: {said}"},
    {"supervisor_stopping", "INFO", "{why}: the supervisor stops"},
    {"lost", "WARN", "{count} events were lost: this reader is too slow"},
#define X(event, level, words) {event, #level, "{kind} {id} from {from} to {to} " words "{:reason}"},
    ENVELOPE_EVENTS(X)
#undef X
};

static void show_value(const json_t *event, const char *key, size_t length)
{
    OWNED char *name = memory_slice(key, length);
    const json_t *value = json_object_get(event, name);
    if (json_is_integer(value)) {
        printf("%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        OWNED char *text = output_clean(json_string_value(value), 0);
        size_t end = strlen(text);
        while (end > 0 && text[end - 1] == ' ')
            end--;
        printf("%.*s", (int)end, end > 0 ? text : "");
    }
}

static bool says(const json_t *event, const char *key, size_t length)
{
    OWNED char *name = memory_slice(key, length);
    const char *text = json_string_value(json_object_get(event, name));
    return text != NULL && text[0] != '\0';
}

static void show_sentence(const json_t *event, const char *text)
{
    while (*text != '\0') {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        if (end == NULL) {
            putchar(*text++);
            continue;
        }
        bool behind_colon = text[1] == ':';
        text += behind_colon ? 2 : 1;
        if (behind_colon && says(event, text, (size_t)(end - text)))
            fputs(": ", stdout);
        show_value(event, text, (size_t)(end - text));
        text = end + 1;
    }
}

/* An event of another version: its name and all its keys. */
static void show_unknown(const json_t *event, const char *name)
{
    const char *key = NULL;
    const json_t *value = NULL;
    OWNED char *clean = output_clean(name, 0);
    fputs(clean, stdout);
    json_object_foreach((json_t *)(uintptr_t)event, key, value)
    {
        if (strcmp(key, "event") != 0 && strcmp(key, "agent") != 0 && strcmp(key, "time") != 0) {
            OWNED char *label = output_clean(key, 0);
            printf(" %s=", label);
            show_value(event, key, strlen(key));
        }
    }
}

static const struct sentence *find(const char *name)
{
    for (size_t i = 0; i < sizeof(SENTENCES) / sizeof(SENTENCES[0]); i++)
        if (strcmp(SENTENCES[i].event, name) == 0)
            return &SENTENCES[i];
    return NULL;
}

/* "2026-04-29T10:05:12 INFO [event] [orion] idle -> working" */
static void show_event(const json_t *event)
{
    const char *said = json_string_value(json_object_get(event, "event"));
    const char *name = said != NULL ? said : "?";
    const struct sentence *sentence = find(name);
    const char *time = json_string_value(json_object_get(event, "time"));
    printf("%.19s %s [event] ", time != NULL ? time : "?", sentence != NULL ? sentence->level : "INFO");
    if (json_object_get(event, "agent") != NULL)
        show_sentence(event, "[{agent}] ");
    if (sentence != NULL)
        show_sentence(event, sentence->text);
    else
        show_unknown(event, name);
    putchar('\n');
}

static bool names(const json_t *event, const char *key, const char *agent)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text != NULL && strcmp(text, agent) == 0;
}

/* Whether the event concerns the agent (NULL: every agent): it is of the agent, from it or to it; an event without a
 * name concerns everybody. */
static bool concerns(const json_t *event, const char *agent)
{
    return agent == NULL || json_object_get(event, "agent") == NULL || names(event, "agent", agent) ||
           names(event, "from", agent) || names(event, "to", agent);
}

static void show_line(const json_t *event, bool json)
{
    if (!json) {
        show_event(event);
        return;
    }
    output_json_line(event);
}

/* Every line was flushed, so there is nothing to finish. */
static void end_here(int signal)
{
    (void)signal;
    _exit(EX_OK);
}

int verb_events(struct invocation *invocation)
{
    int status = 0;
    const char *agent = invocation->words[0];
    if (agent != NULL && !data_dir_has(invocation, agent, &status))
        return status;
    struct client *client = client_ask(invocation, json_pack("{s:s}", "verb", "events"), &status);
    if (client == NULL)
        return status;
    (void)signal(SIGINT, end_here);
    (void)signal(SIGTERM, end_here);
    json_decref(client_answer(client, CLIENT_PATIENCE, &status));
    while (status == 0) {
        json_auto_t *event = client_next(client);
        if (event == NULL) {
            output_complain("the supervisor has ended");
            status = EX_UNAVAILABLE;
            break;
        }
        if (concerns(event, invocation->words[0]))
            show_line(event, invocation_has(invocation, OPTION_JSON));
        status = fflush(stdout) == 0 ? 0 : EX_IOERR;
    }
    client_close(client);
    return output_end(status);
}
