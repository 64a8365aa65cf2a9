/* Two nodes, their data directories and a bus between them, for moves of one agent: nodes.c, lease.c and move.c are the real ones,
 * all around them stands in. now is the node that lives at the moment; a test lets them live in turns. */
#ifndef AGENTOS_TESTS_UNIT_MOVE_WORLD_H
#define AGENTOS_TESTS_UNIT_MOVE_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/settings.h"
#include "folders.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/from_remote.h"
#include "supervisor/nodes/lease.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/move.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/presence.h"
#include "supervisor/nodes/tree_epoch.h"
#include "supervisor/post/post.h"
#include "supervisor/process/loop.h"
#include "tests/unit/cmocka.h"

#define AGENT "orion"

enum {
    NODES = 2,
    TICK_MS = 500,
    CALM = 1400,       /* ticks: longer than a node waits for the other node's word */
    PAD = 600 * 1024,  /* the bundle comes in two pieces */
    PROCESS_TICKS = 2, /* that export and import take */
    MOVING = 40,       /* ticks: a move is over by then, and the node that has the agent renews its lease */
    RETURNS_LATE = 60, /* ticks */
    MESSAGES = 64,
    KEYS = 64
};

#define NO_BRANCH UINT32_MAX /* as lines_of says of a directory that is not there */

/* --- the world --- */

struct sent {
    size_t to, from;
    char *id; /* owned */
    struct buffer bytes;
    bool taken, out; /* acknowledged; told to its node's present supervisor */
    int later;       /* ticks until it is told */
};

struct answer { /* of the bus to a node, in the next tick */
    enum { PUBLISHED, KEPT, KEY } kind;
    uint64_t ticket, revision;
    bool refused;
};

static struct node {
    struct local_node local;
    struct agents agents;
    struct agent agent, *list[1];
    struct roster_agent definition;
    struct bus_owner bus;
    struct timer *timer;
    struct answer answers[KEYS];
    size_t answer_count;
    char path[80];
    bool dead, runs, drains, cut; /* cut: from the bus */
    struct {
        char *verb, *file; /* owned; verb NULL: there is none */
        int ticks;
    } process;
    struct { /* questions to the git remote; NULL: none */
        mirror_looked *looked;
        mirror_fetched *fetched;
        void *looked_context, *fetched_context;
        char *bundle; /* owned */
    } asks;
    int returns; /* ticks until a dead node is started, or a node that is cut off is joined again */
} nodes[NODES], *now;

static struct sent stream[MESSAGES];
static size_t sent_count;
static struct {
    char *text; /* owned */
    uint64_t revision;
} bucket;
static struct {
    bool is_set, answers; /* AGENTOS_GIT_REMOTE is set; the remote can be reached */
    unsigned lines;       /* of its branch; NO_BRANCH: it has none */
    uint64_t epoch;       /* of its last commit */
} remote;
static unsigned done;       /* pieces of work that the worker did: each was acknowledged */
static bool founds;         /* the agent may begin without a directory */
static uint64_t committed;  /* the epoch of the last one */
static long steps, kill_at; /* kill_at: a step of the victim's, from 1; 0: no node is killed */
static size_t victim;
static bool killed, counting, cuts;

static struct node *other_of(const struct node *node)
{
    return &nodes[node == nodes];
}

static void enter(struct node *node)
{
    now = node;
    /* one process plays both nodes */
    (void)strcpy((char *)(uintptr_t)node_name(), node == nodes ? "dc1" : "dc2");
}

/* False: the node is dead from here on, and the step that it wanted to take is not taken. */
static bool step(void)
{
    if (counting && now == &nodes[victim] && ++steps == kill_at) {
        killed = true;
        *(cuts ? &now->cut : &now->dead) = true;
    }
    return !now->dead;
}

static bool reaches_bus(void)
{
    return step() && !now->cut;
}

/* --- the agent's directory: a repository with a line for each piece of work --- */

static unsigned lines_of(const struct node *node)
{
    OWNED char *path = memory_print("%s/agents/" AGENT "/.git/work", node->path);
    struct stat status;
    return stat(path, &status) == 0 ? (unsigned)status.st_size : UINT32_MAX;
}

static void put_agent(const struct node *node, unsigned lines)
{
    OWNED char *scratch_path = memory_print("%s/agents/.import-x", node->path);
    OWNED char *git = memory_print("%s/.git", scratch_path), *work = memory_print("%s/work", git);
    OWNED char *notes = memory_print("%s/.agentos", scratch_path);
    OWNED char *path = memory_print("%s/agents/" AGENT, node->path);
    OWNED char *text = memory_new(lines + 1, 1);
    memset(text, '\n', lines);
    assert_int_equal(mkdir(scratch_path, 0755), 0);
    assert_int_equal(mkdir(git, 0755), 0);
    assert_int_equal(mkdir(notes, 0755), 0);
    int fd = open(work, O_WRONLY | O_CREAT, 0644);
    assert_true(files_write_all(fd, text, lines));
    close(fd);
    assert_int_equal(rename(scratch_path, path), 0);
}

/* In the folder that the lease's epoch lies in already. */
static void begin_agent(const struct node *node)
{
    OWNED char *git = memory_print("%s/agents/" AGENT "/.git", node->path),
               *work = memory_print("%s/work", git);
    assert_int_equal(mkdir(git, 0755), 0);
    close(open(work, O_WRONLY | O_CREAT, 0644));
}

static void make_bundle(const char *path, unsigned lines)
{
    OWNED char *text = memory_new(PAD + lines, 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0 && files_write_all(fd, text, PAD + lines));
    close(fd);
}

static void does_work(struct node *node)
{
    OWNED char *path = memory_print("%s/agents/" AGENT "/.git/work", node->path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(files_write_all(fd, "\n", 1));
    close(fd);
    assert_true(node->agent.order.epoch >= committed);
    committed = node->agent.order.epoch;
    done++;
}

/* --- doubles for the parts around --- */

void agent_live_here(struct agent *agent, const char *elsewhere, bool at_once)
{
    memory_set(&agent->order.elsewhere, elsewhere);
    if (now->dead)
        return;
    if (elsewhere) {
        now->drains = now->runs && !at_once;
        now->runs = now->drains;
        agent->life.state = now->runs ? STATE_STOPPING : STATE_STOPPED;
        return;
    }
    assert_false(other_of(now)->runs);
    if (founds && lines_of(now) == NO_BRANCH)
        begin_agent(now);
    assert_int_equal(lines_of(now), done);
    now->runs = true;
    now->drains = false;
    agent->life.state = STATE_IDLE;
}

struct agent *agents_find(const struct agents *agents, const char *name)
{
    return strcmp(name, AGENT) == 0 ? agents->list[0] : NULL;
}

size_t post_travelling(const struct post *post, const char *name)
{
    return 0;
}

void mirror_link_fetch(struct mirror_link *link, const char *agent, const char *bundle,
                       mirror_fetched *fetched, void *context)
{
    if (!step())
        return;
    now->asks.fetched = fetched;
    now->asks.fetched_context = context;
    free(now->asks.bundle);
    now->asks.bundle = memory_print("%s/%s", now->path, bundle);
}

unsigned mirror_link_look(struct mirror_link *link, const char *agent, mirror_looked *looked, void *context)
{
    if (!step())
        return 0;
    now->asks.looked = looked;
    now->asks.looked_context = context;
    return 1;
}

unsigned mirror_link_process(const struct mirror_link *link)
{
    return 1;
}

void timer_set(struct loop *loop, struct timer *timer, int64_t in_ms)
{
    now->timer = timer;
}

void timer_clear(struct loop *loop, struct timer *timer)
{
}

void loop_begin_turns_with(struct loop *loop, void (*begin)(void *context), void *context)
{
}

int child_spawn(const char *program, char *const *arguments, char *const *environment,
                const int descriptors[], int count, pid_t *pid)
{
    if (!step())
        return EIO;
    now->process.verb = memory_text(arguments[1]);
    now->process.file = memory_text(arguments[6]);
    now->process.ticks = PROCESS_TICKS;
    *pid = 1000;
    return 0;
}

int kill(pid_t pid, int number)
{
    return 0;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return pid;
}

int renameat(int from, const char *old, int to, const char *name)
{
    if (!step()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from, old, to, name, 0);
}

struct presence *presence_new(const struct local_node *local, const struct queues *queues)
{
    return memory_new(1, 1);
}

void presence_each(const struct presence *presence,
                   void (*visit)(void *context, const char *node, bool there), void *context)
{
}

void presence_count(const struct presence *presence, const char *queue, size_t *waiting, size_t *under_way)
{
}

void presence_free(struct presence *presence)
{
    free(presence);
}

void presence_turn(struct presence *presence, int64_t at)
{
}

bool presence_key(struct presence *presence, const char *key, const char *text, bool fresh)
{
    return false;
}

const json_t *presence_agent(const struct presence *presence, const char *node, const char *agent)
{
    return NULL;
}

bool presence_is_known(const struct presence *presence, const char *node)
{
    return true;
}

bool presence_is_there(const struct presence *presence, const char *node)
{
    return !nodes[strcmp(node, "dc2") == 0].dead;
}

const char *presence_nearest(const struct presence *presence, const char *node)
{
    return node;
}

void presence_problems(const struct presence *presence, struct buffer *lines)
{
}

/* --- the bus: a published message stays until its node took it; keys change by their revision --- */

void bus_link_join(struct bus_link *link, const struct bus_owner *owner)
{
    now->bus = *owner;
}

uint64_t bus_link_ticket(struct bus_link *link)
{
    static uint64_t ticket;
    return ++ticket;
}

static void answers(struct node *node, struct answer answer)
{
    assert_true(node->answer_count < KEYS);
    node->answers[node->answer_count++] = answer;
}

bool bus_link_publish(struct bus_link *link, const char *subject, const char *id, const void *bytes,
                      size_t length, uint64_t ticket)
{
    bool known = false;
    if (!reaches_bus())
        return false;
    for (size_t i = 0; i < sent_count; i++)
        known |= strcmp(stream[i].id, id) == 0;
    if (!known) {
        assert_true(sent_count < MESSAGES);
        struct sent *sent = &stream[sent_count++];
        *sent = (struct sent){.to = strstr(subject, "dc2") != NULL, .from = (size_t)(now - nodes)};
        sent->id = memory_text(id);
        buffer_add(&sent->bytes, bytes, length);
    }
    answers(now, (struct answer){.kind = PUBLISHED, .ticket = ticket});
    return true;
}

void bus_link_took(struct bus_link *link, uint64_t token)
{
    if (reaches_bus())
        stream[token - 1].taken = true;
}

void bus_link_later(struct bus_link *link, uint64_t token, int64_t ms)
{
    stream[token - 1].out = false;
}

bool bus_link_put(struct bus_link *link, const char *key, const char *value, uint64_t revision,
                  uint64_t ticket)
{
    assert_string_equal(key, "lease." AGENT);
    if (!reaches_bus())
        return false;
    bool refused = revision != bucket.revision;
    answers(now, (struct answer){.kind = KEPT,
                                 .ticket = ticket,
                                 .revision = refused ? 0 : bucket.revision + 1,
                                 .refused = refused});
    if (refused)
        return true;
    memory_set(&bucket.text, value);
    bucket.revision++;
    for (size_t i = 0; i < NODES; i++)
        if (!nodes[i].dead && !nodes[i].cut)
            answers(&nodes[i], (struct answer){.kind = KEY});
    return true;
}

static void hear_remote(struct node *node)
{
    mirror_looked *looked = node->asks.looked;
    mirror_fetched *fetched = node->asks.fetched;
    bool has = remote.answers && remote.lines != NO_BRANCH;
    node->asks.looked = NULL;
    node->asks.fetched = NULL;
    if (looked && step())
        looked(node->asks.looked_context, AGENT,
               has              ? MIRROR_HAS_BRANCH
               : remote.answers ? MIRROR_NO_BRANCH
                                : MIRROR_SILENT,
               "1234567");
    if (!fetched || !step())
        return;
    if (has)
        make_bundle(node->asks.bundle, remote.lines);
    fetched(node->asks.fetched_context, has ? NULL : "the remote has nothing", "1234567");
}

static void hear(struct node *node)
{
    struct answer all[KEYS];
    size_t count = node->answer_count;
    memcpy(all, node->answers, sizeof all);
    node->answer_count = 0;
    for (size_t i = 0; i < count && !node->dead && !node->cut; i++) {
        const struct answer *answer = &all[i];
        if (answer->kind == PUBLISHED)
            node->bus.published(node->bus.context, answer->ticket, NULL);
        else if (answer->kind == KEPT)
            node->bus.kept(node->bus.context, answer->ticket, answer->revision,
                           answer->refused ? BUS_OTHER_REVISION : "");
        else
            node->bus.key(node->bus.context, "lease." AGENT, bucket.text, bucket.revision);
    }
    for (size_t i = 0; i < sent_count && !node->dead && !node->cut; i++) {
        struct sent *sent = &stream[i];
        if (sent->to != (size_t)(node - nodes) || sent->taken || sent->out)
            continue;
        sent->out = true;
        assert_true(node->bus.arrived(node->bus.context, i + 1, "agentos.node.x",
                                      sent->from == 0 ? "dc1" : "dc2", sent->bytes.data, sent->bytes.length));
    }
}

#endif
