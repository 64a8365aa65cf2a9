/* `agentos events`: what happens, as it happens. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

/* How an event reads in the log's form: {key} stands for what the event says of it. */
static const struct {
    const char *event, *level, *text;
} SENTENCES[] = {
    {"state", "INFO", "{from} -> {to}"},
    {"worker_started", "INFO", "worker started (pid {pid})"},
    {"worker_exited", "INFO", "worker (pid {pid}) has ended: {how}"},
    {"finished", "INFO", "task {task} ended: {end}, reward {reward}, {tokens} tokens, commit {commit}"},
    {"waiting", "WARN", "waiting for the {what} until {until}: {why}"},
    {"problem", "WARN", "problem: {problem}"},
    {"problem_cleared", "INFO", "no problem any more: {problem}"},
    {"negative_streak", "WARN", "the last {count} tasks failed"},
    {"rolled_back", "INFO", "learning undone: {said}"},
    {"gateway_started", "WARN", "gateway started again (pid {pid})"},
    {"reload_applied", "INFO", "agents.yaml applied: {said}"},
    {"reload_refused", "ERROR", "agents.yaml refused: {said}"},
    {"supervisor_stopping", "INFO", "{why}: the supervisor stops"},
    {"lost", "WARN", "{count} events were lost: this reader is too slow"},
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
        while (end > 0 && text[end - 1] == ' ') {
            end--;
        }
        printf("%.*s", (int)end, end > 0 ? text : "");
    }
}

static void show_sentence(const json_t *event, const char *text)
{
    while (*text != '\0') {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        if (end == NULL) {
            putchar(*text++);
            continue;
        }
        show_value(event, text + 1, (size_t)(end - text) - 1);
        text = end + 1;
    }
}

/* "2026-04-29T10:05:12 INFO [event] [orion] idle -> working". One of another version is shown by its name. */
static void show_event(const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *level = "INFO", *text = "{event}";
    for (size_t i = 0; name != NULL && i < sizeof(SENTENCES) / sizeof(SENTENCES[0]); i++) {
        if (strcmp(SENTENCES[i].event, name) == 0) {
            level = SENTENCES[i].level;
            text = SENTENCES[i].text;
        }
    }
    const char *time = json_string_value(json_object_get(event, "time"));
    printf("%.19s %s [event] ", time != NULL ? time : "?", level);
    if (json_object_get(event, "agent") != NULL) {
        show_sentence(event, "[{agent}] ");
    }
    show_sentence(event, text);
    putchar('\n');
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
    struct client *client = client_ask(invocation, json_pack("{s:s}", "verb", "events"), &status);
    if (client == NULL) {
        return status;
    }
    (void)signal(SIGINT, end_here);
    (void)signal(SIGTERM, end_here);
    json_decref(client_answer(client, CLIENT_PATIENCE, &status));
    while (status == 0) {
        json_t *event = client_next(client);
        if (event == NULL) {
            output_complain("the supervisor has ended");
            status = EX_UNAVAILABLE;
            break;
        }
        show_line(event, invocation_has(invocation, OPTION_JSON));
        json_decref(event);
        status = fflush(stdout) == 0 ? 0 : EX_IOERR;
    }
    client_close(client);
    return output_end(status);
}
