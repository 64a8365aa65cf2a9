/* bus_driver PROGRAMS: the supervisor's side of agentos-bus (supervisor/nodes/bus_link.h), by lines, for test_bus.py.
 *
 * On standard input, a line each: publish SUBJECT ID TEXT, follow SUBJECT, unfollow SUBJECT, took TOKEN, later TOKEN
 * MS, put KEY REVISION VALUE, delete KEY REVISION (REVISION "any", too), flood SUBJECT COUNT BYTES, problem, quit. On
 * standard output the owner's messages, a JSON array each. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/child.h"
#include "supervisor/process/loop.h"

enum { REAP_MS = 20, WORDS = 4 };

static struct local_node local;
static struct bus_link *bus;
static bool mute; /* arrivals are counted and taken, not told */
static uint64_t taken;

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    free(text);
    json_decref(line);
}

static void hear_state(void *context, bool connected, const char *why)
{
    (void)context;
    say(json_pack("[s, b, s]", "state", connected, why));
}

static void hear_published(void *context, uint64_t ticket, const char *why)
{
    (void)context;
    say(json_pack("[s, I, s?]", "published", (json_int_t)ticket, why));
}

static bool hear_arrived(void *context, uint64_t token, const char *subject, const char *node,
                         const void *bytes, size_t length)
{
    (void)context;
    if (mute) {
        taken++;
        bus_link_took(bus, token);
        return true;
    }
    say(json_pack("[s, I, s, s, s%]", "arrived", (json_int_t)token, subject, node, bytes, length));
    return true;
}

static void hear_key(void *context, const char *key, const char *value, uint64_t revision)
{
    (void)context;
    say(json_pack("[s, s?, s?, I]", "key", key, value, (json_int_t)revision));
}

static void hear_kept(void *context, uint64_t ticket, uint64_t revision, const char *why)
{
    (void)context;
    say(json_pack("[s, I, I, s]", "kept", (json_int_t)ticket, (json_int_t)revision, why));
}

static uint64_t number(const char *word)
{
    return word && strcmp(word, "any") == 0 ? BUS_ANY_REVISION : strtoull(word ? word : "0", NULL, 10);
}

static void flood(const char *subject, uint64_t count, uint64_t length)
{
    OWNED char *bytes = memory_new(length + 1, 1);
    memset(bytes, 'x', length);
    static unsigned long long sent;
    for (uint64_t i = 0; i < count; i++) {
        OWNED char *id = memory_print("flood-%d-%llu", (int)getpid(), sent++);
        bus_link_publish(bus, subject, id, bytes, length, bus_link_ticket(bus));
    }
}

static void obey(char *line)
{
    char *words[WORDS] = {0}, *rest = line;
    for (size_t i = 0; i < WORDS - 1 && rest; i++)
        words[i] = strsep(&rest, " ");
    words[WORDS - 1] = rest;
    const char *text = words[3] ? words[3] : "";
    uint64_t ticket = bus_link_ticket(bus);
    bool sent = true;
    if (strcmp(words[0], "publish") == 0)
        sent = bus_link_publish(bus, words[1], words[2], text, strlen(text), ticket);
    else if (strcmp(words[0], "follow") == 0 || strcmp(words[0], "unfollow") == 0)
        bus_link_follow(bus, words[1], words[0][0] == 'f');
    else if (strcmp(words[0], "took") == 0)
        bus_link_took(bus, number(words[1]));
    else if (strcmp(words[0], "later") == 0)
        bus_link_later(bus, number(words[1]), (int64_t)number(words[2]));
    else if (strcmp(words[0], "put") == 0)
        sent = bus_link_put(bus, words[1], text, number(words[2]), ticket);
    else if (strcmp(words[0], "delete") == 0)
        sent = bus_link_delete(bus, words[1], number(words[2]), ticket);
    else if (strcmp(words[0], "flood") == 0)
        flood(words[1], number(words[2]), number(words[3]));
    else if (strcmp(words[0], "mute") == 0)
        mute = true;
    else if (strcmp(words[0], "taken") == 0)
        say(json_pack("[s, I]", "taken", (json_int_t)taken));
    else if (strcmp(words[0], "quit") == 0)
        loop_end(local.loop);
    if (strcmp(words[0], "problem") == 0) {
        OWNED_BUFFER struct buffer lines = {0};
        bus_link_problem(bus, &lines);
        say(json_pack("[s, s]", "problem", lines.data ? lines.data : ""));
    } else
        say(json_pack("[s, I, b]", "asked", (json_int_t)ticket, sent));
}

static void on_input(void *context, uint32_t events)
{
    (void)events;
    static struct buffer input;
    char bytes[65536];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n <= 0) {
        loop_end(context);
        return;
    }
    buffer_add(&input, bytes, (size_t)n);
    for (char *end; input.length && (end = memchr(input.data, '\n', input.length));) {
        *end = '\0';
        size_t length = (size_t)(end - input.data) + 1;
        obey(input.data);
        buffer_drop(&input, length);
    }
}

static void reap(void *context)
{
    struct timer *timer = context;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        child_reap(pid, status);
    timer_set(local.loop, timer, REAP_MS);
}

int main(int count, char **arguments)
{
    static struct timer timer = {.ring = reap, .context = &timer};
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    log_start("debug", "text");
    local = (struct local_node){.loop = loop_new(), .programs = count > 1 ? arguments[1] : "."};
    bus = bus_link_open(&local);
    if (!bus)
        return 1;
    bus_link_join(bus, &(struct bus_owner){.state = hear_state,
                                           .published = hear_published,
                                           .arrived = hear_arrived,
                                           .key = hear_key,
                                           .kept = hear_kept});
    loop_watch(local.loop, STDIN_FILENO, EPOLLIN, on_input, local.loop);
    timer_set(local.loop, &timer, REAP_MS);
    loop_run(local.loop);
    bus_link_close(bus);
    return 0;
}
