#include "supervisor/nodes/move.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/lease.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/tree_epoch.h"
#include "supervisor/nodes/word.h"
#include "supervisor/post/post.h"

#define FOLDER ".run/moves"

enum {
    PIECE = 512 * 1024,
    LATER_MS = 300,
    HEAD_MAX = 1024,
    ARRIVING_MS = 10 * 60 * 1000,
    QUIET_MS =
        60 * 1000 /* between the last piece of an agent whose pieces stopped coming and another agent */
};

enum stage { NONE, DRAINING, EXPORTING, SENDING, ARRIVING, FETCHING, UNPACKING, LEASING, DONE, FAILED };

static const char *const stages[] = {[DRAINING] = "draining",
                                     [EXPORTING] = "packing",
                                     [SENDING] = "sending",
                                     [ARRIVING] = "unpacking there",
                                     [FETCHING] = "fetching",
                                     [UNPACKING] = "unpacking",
                                     [LEASING] = "waiting for its lease",
                                     [DONE] = "done"};

struct move {
    const struct local_node *local;
    struct move_owner owner;
    struct { /* from here */
        enum stage stage;
        char *agent, *node; /* owned */
        char *id;           /* of this attempt; owned */
        struct desired_state desired;
        uint64_t epoch, ticket;
        pid_t pid; /* of the export; 0: none */
        int file;  /* the bundle; -1: none */
        off_t at, size;
        int64_t arriving_at; /* clock_boot_ms */
        struct fault why;
    } out;
    struct {                          /* to here */
        char *agent, *node, *id;      /* owned; agent NULL: nothing comes; node "": the git remote */
        struct desired_state desired; /* as the operator ordered on the other node */
        /* Of the last piece, which is acknowledged when the whole is unpacked. */
        uint64_t epoch, token;
        pid_t pid; /* of the import */
        int file;
        off_t at;
        int64_t heard_at; /* clock_boot_ms */
    } in;
    struct { /* from the git remote, last */
        enum stage stage;
        char *agent;        /* owned */
        int64_t leasing_at; /* clock_boot_ms */
        struct fault why;
    } fetch;
};

/* --- files --- */

static char *path_of(const struct move *move, const char *which)
{
    return memory_print("%s/" FOLDER "/%s.bundle", move->local->data_dir, which);
}

/* Runs a program of ours on the data directory; its output goes to the log. */
static pid_t run(const struct move *move, const char *verb, const char *option, const char *word,
                 const char *file)
{
    OWNED char *program = memory_print("%s/agentos", move->local->programs);
    char *arguments[] = {"agentos",      (char *)verb, "--data",     (char *)move->local->data_dir,
                         (char *)option, (char *)word, (char *)file, NULL};
    const int descriptors[] = {-1, STDERR_FILENO, STDERR_FILENO};
    pid_t pid = 0;
    return child_spawn(program, arguments, environ, descriptors, 3, &pid) == 0 ? pid : 0;
}

/* Renames agents/NAME to a name that no node takes up. True too where there is no such folder. */
static bool put_aside(const struct move *move, const char *agent, const char *to, struct fault *fault)
{
    OWNED_FD int agents = files_open_folder(move->local->data, "agents", true, fault);
    OWNED char *id = names_new_id();
    OWNED char *aside = memory_print(TREE_MOVED_PREFIX "%s-to-%s-%s", agent, to, id);
    if (agents < 0)
        return false;
    if (renameat(agents, agent, agents, aside) != 0)
        return errno == ENOENT || fault_errno(fault, "agents/%s can't be put aside", agent);
    log_info("agentos", agent, "The agent's old directory is kept as agents/%s", aside);
    return fsync(agents) == 0 || fault_errno(fault, "agents can't be flushed");
}

static bool open_folder(const struct move *move, struct fault *fault)
{
    OWNED_FD int folder = files_open_folder(move->local->data, FOLDER, true, fault);
    return folder >= 0;
}

/* --- the way out --- */

static void end_out(struct move *move, enum stage stage, const char *why)
{
    OWNED char *path = path_of(move, "out");
    if (stage == FAILED) {
        log_warn("agentos", move->out.agent, "The agent was not moved to node '%s': %s", move->out.node, why);
        fault_set(&move->out.why, "%s", why);
    } else {
        log_info("agentos", move->out.agent, "The agent was moved to node '%s'", move->out.node);
    }
    move->out.stage = stage;
    memory_close_at(&move->out.file);
    move->out.file = -1;
    (void)unlink(path);
    move->owner.claim(move->owner.context, move->out.agent);
}

static void forget_fetch(struct move *move, const char *agent)
{
    if (move->fetch.agent && strcmp(move->fetch.agent, agent) == 0) {
        free(move->fetch.agent);
        move->fetch.agent = NULL;
        move->fetch.stage = NONE;
    }
}

int move_begin(struct move *move, struct agent *agent, const char *node, struct fault *fault)
{
    if (move->out.stage != NONE && move->out.stage != DONE && move->out.stage != FAILED) {
        fault_set(fault, "agent '%s' is on its way already; one agent is moved at a time", move->out.agent);
        return EX_TEMPFAIL;
    }
    if (!open_folder(move, fault))
        return EX_CANTCREAT;
    free(move->out.agent);
    free(move->out.node);
    free(move->out.id);
    move->out.agent = memory_text(agent->name);
    move->out.node = memory_text(node);
    move->out.id = names_new_id();
    move->out.epoch = agent->order.epoch;
    move->out.desired = agent->order.desired;
    move->out.stage = DRAINING;
    forget_fetch(move, agent->name);
    log_info("agentos", agent->name,
             "The agent is moved to node '%s': its work is finished or put down first", node);
    move->owner.claim(move->owner.context, agent->name);
    return EX_OK;
}

static void drain(struct move *move)
{
    const struct agent *agent = agents_find(move->local->agents, move->out.agent);
    OWNED char *path = path_of(move, "out");
    if (!agent) {
        end_out(move, FAILED, "it was taken out of agents.yaml");
        return;
    }
    if (life_has_process(&agent->life) || post_travelling(move->local->post, agent->name) > 0)
        return;
    (void)unlink(path);
    move->out.pid = run(move, "export", "--notes", agent->name, path);
    move->out.stage = EXPORTING;
    if (move->out.pid == 0)
        end_out(move, FAILED, "`agentos export` can't be started");
}

static void send_piece(struct move *move)
{
    struct bus_link *bus = move->local->bus;
    OWNED_BUFFER struct buffer message = {0};
    OWNED char *subject = memory_print(NODE_SUBJECT "%s", move->out.node);
    OWNED char *id = memory_print("move-%s-%lld", move->out.id, (long long)move->out.at);
    json_t *head = json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:b}", "move", move->out.agent, "id",
                             move->out.id, "epoch", (json_int_t)move->out.epoch, "at",
                             (json_int_t)move->out.at, "size", (json_int_t)move->out.size, "stopped",
                             (int)move->out.desired.stopped, "paused", (int)move->out.desired.paused);
    OWNED char *text = json_dumps(head, JSON_COMPACT);
    json_decref(head);
    buffer_print(&message, "%s\n", text);
    ssize_t got = pread(move->out.file, buffer_room(&message, PIECE), PIECE, move->out.at);
    if (got < 0) {
        end_out(move, FAILED, "its bundle can't be read");
        return;
    }
    message.length += (size_t)got;
    move->out.ticket = bus_link_ticket(bus);
    if (!bus_link_publish(bus, subject, id, message.data, message.length, move->out.ticket))
        move->out.ticket = 0; /* another try in the next turn */
}

static void begin_sending(struct move *move, int status)
{
    OWNED char *path = path_of(move, "out");
    struct stat bundle;
    move->out.pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EX_OK) {
        end_out(move, FAILED, "`agentos export` has failed, as the log says");
        return;
    }
    move->out.file = open(path, O_RDONLY | O_CLOEXEC);
    if (move->out.file < 0 || fstat(move->out.file, &bundle) != 0) {
        end_out(move, FAILED, "its bundle can't be opened");
        return;
    }
    move->out.size = bundle.st_size;
    move->out.at = 0;
    move->out.stage = SENDING;
    send_piece(move);
}

void move_published(struct move *move, uint64_t ticket, const char *why)
{
    if (move->out.stage != SENDING || ticket != move->out.ticket)
        return;
    move->out.ticket = 0;
    if (why)
        return; /* another try in the next turn */
    move->out.at += PIECE;
    if (move->out.at < move->out.size) {
        send_piece(move);
        return;
    }
    move->out.stage = ARRIVING;
    move->out.arriving_at = clock_boot_ms();
}

static void hand_over(struct move *move, const char *why)
{
    struct fault fault = {0};
    if (*why) {
        OWNED char *sentence = memory_print("node '%s' says: %s", move->out.node, why);
        end_out(move, FAILED, sentence);
    } else if (!move->owner.holds(move->owner.context, move->out.agent)) {
        end_out(move, FAILED, "its lease could not be kept meanwhile");
    } else if (!put_aside(move, move->out.agent, move->out.node, &fault)) {
        end_out(move, FAILED, fault.text);
    } else {
        end_out(move, DONE, "");
    }
}

bool move_has(const struct move *move, const char *agent)
{
    return move->out.stage > NONE && move->out.stage < DONE && strcmp(move->out.agent, agent) == 0;
}

bool move_fetches(const struct move *move, const char *agent)
{
    return move->in.agent && !*move->in.node && strcmp(move->in.agent, agent) == 0;
}

const char *move_stage(const struct move *move, const char *agent, struct fault *fault)
{
    if (move->fetch.agent && strcmp(move->fetch.agent, agent) == 0) {
        if (move->fetch.stage == FAILED)
            *fault = move->fetch.why;
        return move->fetch.stage == FAILED ? NULL : stages[move->fetch.stage];
    }
    if (move->out.stage == NONE || strcmp(move->out.agent, agent) != 0) {
        fault_set(fault, "agent '%s' is not being moved", agent);
        return NULL;
    }
    if (move->out.stage == FAILED)
        *fault = move->out.why;
    return move->out.stage == FAILED ? NULL : stages[move->out.stage];
}

void move_bus_state(struct move *move, bool connected)
{
    move->out.ticket = 0;
    if (!connected)
        move->in.token = 0;
}

/* --- the way in --- */

static void end_in(struct move *move)
{
    OWNED char *path = path_of(move, "in");
    (void)unlink(path);
    free(move->in.agent);
    free(move->in.node);
    free(move->in.id);
    memory_close_at(&move->in.file);
    memset(&move->in, 0, sizeof move->in);
    move->in.file = -1;
}

static void answer(struct move *move, const char *node, const char *agent, const char *id, const char *why)
{
    struct bus_link *bus = move->local->bus;
    OWNED char *subject = memory_print(NODE_SUBJECT "%s", node), *message = memory_print("moved-%s", id);
    json_t *head = json_pack("{s:s, s:s, s:s}", "moved", agent, "id", id, "why", why);
    OWNED char *text = json_dumps(head, JSON_COMPACT), *line = memory_print("%s\n", text);
    json_decref(head);
    (void)bus_link_publish(bus, subject, message, line, strlen(line), bus_link_ticket(bus));
}

static const char *begin_in(struct move *move, const char *agent, const char *id, const char *node,
                            uint64_t epoch)
{
    struct fault fault = {0};
    OWNED char *path = path_of(move, "in");
    if (!agents_find(move->local->agents, agent))
        return "its agents.yaml has no such agent";
    if (!*id || move->owner.holds(move->owner.context, agent))
        return "the agent lives there already";
    end_in(move);
    if (!open_folder(move, &fault))
        return "it can't write its run directory";
    move->in.file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (move->in.file < 0)
        return "it can't write its run directory";
    move->in.agent = memory_text(agent);
    move->in.node = memory_text(node);
    move->in.id = memory_text(id);
    move->in.epoch = epoch;
    return NULL;
}

/* The operator's orders for the agent go along. */
static void order(const struct move *move, const char *name, struct desired_state desired)
{
    struct fault fault;
    struct agent *agent = agents_find(move->local->agents, name);
    if (agent)
        agent->order.desired = desired;
    if (!desired_state_save(move->local->data, name, desired, &fault))
        log_warn("agentos", name, "The agent's orders hold only until the supervisor ends: %s", fault.text);
}

static const char *begin_import(struct move *move)
{
    struct fault fault = {0};
    OWNED char *path = path_of(move, "in");
    if (fsync(move->in.file) != 0 || !put_aside(move, move->in.agent, node_name(), &fault))
        return "its disk can't take the agent";
    move->in.pid = run(move, "import", "--moved", move->in.agent, path);
    return move->in.pid ? NULL : "`agentos import` can't be started";
}

/* Another agent comes, and the next one has to wait; a later move of the same agent takes the place of its former
 * one. */
static bool is_busy(const struct move *move, const char *agent)
{
    return move->in.agent &&
           (move->in.pid || !*move->in.node ||
            (strcmp(move->in.agent, agent) != 0 && clock_boot_ms() - move->in.heard_at < QUIET_MS));
}

static void take_piece(struct move *move, uint64_t token, const json_t *head, const char *node,
                       const char *bytes, size_t length)
{
    struct bus_link *bus = move->local->bus;
    const char *agent = json_string_value(json_object_get(head, "move"));
    const char *id = json_string_value(json_object_get(head, "id"));
    off_t at = (off_t)json_integer_value(json_object_get(head, "at"));
    off_t size = (off_t)json_integer_value(json_object_get(head, "size"));
    bool same = move->in.agent && id && strcmp(move->in.id, id) == 0;
    const char *why = NULL;
    if (!agent || !id || !names_agent(agent) || !names_id(id) || (!same && at != 0)) {
        bus_link_took(bus, token);
        return;
    }
    if (same ? move->in.pid != 0 : is_busy(move, agent)) {
        bus_link_later(bus, token, LATER_MS);
        return;
    }
    if (!same)
        why = begin_in(move, agent, id, node, (uint64_t)json_integer_value(json_object_get(head, "epoch")));
    move->in.heard_at = clock_boot_ms();
    move->in.desired = (struct desired_state){.stopped = json_is_true(json_object_get(head, "stopped")),
                                              .paused = json_is_true(json_object_get(head, "paused")),
                                              .since = clock_now()};
    if (!why && at > move->in.at) {
        bus_link_later(bus, token, LATER_MS);
        return;
    }
    if (!why && at == move->in.at && !files_write_all(move->in.file, bytes, length))
        why = "its disk is full";
    if (!why && at == move->in.at)
        move->in.at += (off_t)length;
    bool whole = !why && move->in.at >= size;
    why = whole ? begin_import(move) : why;
    if (why) {
        answer(move, node, agent, id, why);
        end_in(move);
    }
    if (whole && !why)
        move->in.token = token;
    else
        bus_link_took(bus, token);
}

/* The epoch is in the directory before the sender gives its lease back: without the epoch no node would take the
 * agent up. */
static bool note_epoch(const struct move *move)
{
    uint64_t noted = tree_epoch_read(move->local->data, move->in.agent); /* of its commits, by the import */
    uint64_t epoch = noted > move->in.epoch ? noted : move->in.epoch;
    OWNED char *path = memory_print("agents/%s/" TREE_EPOCH, move->in.agent);
    OWNED char *text = memory_print("%" PRIu64 "\n", epoch);
    return files_write(move->local->data, path, text, strlen(text), true, NULL);
}

/* --- from the git remote --- */

static void end_fetch(struct move *move, const char *why)
{
    log_warn("agentos", move->fetch.agent, "The agent was not taken from the git remote: %s", why);
    fault_set(&move->fetch.why, "%s", why);
    move->fetch.stage = FAILED;
}

static void has_fetched(void *context, const char *why, const char *commit)
{
    struct move *move = context;
    if (!why)
        log_info("agentos", move->in.agent, "The git remote has the agent at commit %.7s, which is unpacked",
                 commit);
    move->fetch.stage = UNPACKING;
    why = why ? why : begin_import(move);
    if (!why)
        return;
    end_fetch(move, why);
    end_in(move);
}

int move_fetch(struct move *move, const char *agent, uint64_t epoch, struct fault *fault)
{
    OWNED char *id = names_new_id();
    const char *why = is_busy(move, agent) ? "another agent is just coming here" : NULL;
    if (!why && move->fetch.stage == LEASING && strcmp(move->fetch.agent, agent) != 0)
        why = "another agent just waits for its lease here";
    why = why ? why : begin_in(move, agent, id, "", epoch);
    if (why) {
        fault_set(fault, "agent '%s' can't be taken now: %s", agent, why);
        return EX_TEMPFAIL;
    }
    memory_set(&move->fetch.agent, agent);
    move->fetch.stage = FETCHING;
    log_info("agentos", agent, "The agent is taken from the git remote");
    move->owner.claim(move->owner.context, agent); /* from here on the agent is not begun anew */
    mirror_link_fetch(move->local->mirror, agent, FOLDER "/in.bundle", has_fetched, move);
    return EX_OK;
}

/* Another node that has a directory of the agent may have been faster. */
static void look_for_lease(struct move *move)
{
    const struct agent *agent = agents_find(move->local->agents, move->fetch.agent);
    if (move->owner.holds(move->owner.context, move->fetch.agent)) {
        move->fetch.stage = DONE;
    } else if (!agent || clock_boot_ms() - move->fetch.leasing_at > 2 * LEASE_MS) {
        OWNED char *why =
            memory_print("it is unpacked here, but does not run: %s",
                         agent && agent->order.elsewhere ? agent->order.elsewhere : "it is gone");
        end_fetch(move, why);
    }
}

static void has_imported(struct move *move, int status)
{
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == EX_OK && note_epoch(move);
    if (!*move->in.node) {
        move->fetch.stage = LEASING;
        move->fetch.leasing_at = clock_boot_ms();
        if (!good)
            end_fetch(move, "`agentos import` has failed, as the log says");
        end_in(move);
        return;
    }
    if (good)
        order(move, move->in.agent, move->in.desired);
    answer(move, move->in.node, move->in.agent, move->in.id,
           good ? "" : "`agentos import` has failed there, as its log says");
    if (move->in.token)
        bus_link_took(move->local->bus, move->in.token);
    end_in(move);
}

bool move_arrived(struct move *move, uint64_t token, const char *subject, const char *node, const void *bytes,
                  size_t length)
{
    const char *end = memchr(bytes, '\n', length < HEAD_MAX ? length : HEAD_MAX);
    if (strncmp(subject, NODE_SUBJECT, strlen(NODE_SUBJECT)) != 0 || !end || *(const char *)bytes != '{')
        return false;
    json_t *head = json_loadb(bytes, (size_t)(end - (const char *)bytes), 0, NULL);
    const char *id = json_string_value(json_object_get(head, "id"));
    const char *why = json_string_value(json_object_get(head, "why"));
    bool ours = json_object_get(head, "move") || json_object_get(head, "moved");
    if (json_object_get(head, "move")) {
        take_piece(move, token, head, node, end + 1, length - (size_t)(end + 1 - (const char *)bytes));
    } else if (ours) {
        bus_link_took(move->local->bus, token);
        if (move->out.id && id && strcmp(id, move->out.id) == 0 &&
            (move->out.stage == SENDING || move->out.stage == ARRIVING))
            hand_over(move, why ? why : "");
    }
    json_decref(head);
    return ours;
}

/* --- --- */

void move_turn(struct move *move)
{
    if (move->out.stage == DRAINING)
        drain(move);
    else if (move->out.stage == SENDING && move->out.ticket == 0)
        send_piece(move);
    else if (move->out.stage == ARRIVING && clock_boot_ms() - move->out.arriving_at > ARRIVING_MS)
        end_out(move, FAILED, "that node does not say what became of the agent");
    if (move->fetch.stage == LEASING)
        look_for_lease(move);
}

bool move_reap(struct move *move, pid_t pid, int status)
{
    if (pid == move->out.pid)
        begin_sending(move, status);
    else if (pid == move->in.pid)
        has_imported(move, status);
    else
        return false;
    return true;
}

struct move *move_new(const struct local_node *local, const struct move_owner *owner)
{
    struct move *move = memory_new(1, sizeof *move);
    move->local = local;
    move->owner = *owner;
    move->out.file = move->in.file = -1;
    return move;
}

static void end_process(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    (void)TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
}

void move_free(struct move *move)
{
    if (!move)
        return;
    end_process(move->out.pid);
    end_process(move->in.pid);
    memory_close_at(&move->out.file);
    free(move->out.agent);
    free(move->out.node);
    free(move->out.id);
    free(move->fetch.agent);
    end_in(move);
    free(move);
}
