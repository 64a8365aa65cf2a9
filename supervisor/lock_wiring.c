/* Locks put to work: their files and counter, the workers, and the other nodes. */
#include "supervisor/lock_wiring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "common/tree.h"
#include "supervisor/control/control.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/far_locks.h"
#include "supervisor/nodes/homes.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/shared/lock_claims.h"
#include "supervisor/shared/locks.h"
#include "supervisor/store/shared_files.h"
#include "supervisor/supervisor.h"

#define TOKEN_FOLDER ".run"
#define TOKEN_FILE   "lock-token"
#define TURN_FILE    "lock-turn"

enum { TOKEN_MAX = 64, LOCKS_AGAIN_MS = 1000 };

struct shared_locks {
    struct supervisor *supervisor;
    struct homes *homes;
    struct locks *locks;
    struct lock_claims *claims; /* claims on locks of other nodes */
    struct timer lock_timer, load_timer, claims_timer;
    size_t locks_unread; /* files, the counter's too, that the last try could not read */
    bool locks_unread_said;
    const char *hears; /* the node whose word is handled now */
};

/* --- files, workers, time --- */

static bool save_lock(void *context, const char *file, const struct buffer *text, bool durable,
                      struct fault *fault)
{
    struct shared_locks *shared = context;
    if (!shared_write(shared->supervisor->data, SHARED_LOCKS, file, text, durable, fault))
        return false;
    homes_changed(shared->homes, HOME_LOCK, file);
    return true;
}

/* The counter of tokens, beside the locks' folder, where nobody tidies up: it holds also when a lock's file is
 * deleted while no supervisor runs. */
static bool save_number(const struct shared_locks *shared, const char *file, uint64_t number,
                        struct fault *fault)
{
    OWNED char *text = memory_print("%" PRIu64 "\n", number);
    OWNED_FD int folder = files_open_folder(shared->supervisor->data, TOKEN_FOLDER, true, fault);
    return folder >= 0 && files_write(folder, file, text, strlen(text), true, fault);
}

static bool save_token(void *context, uint64_t token, struct fault *fault)
{
    return save_number(context, TOKEN_FILE, token, fault);
}

static void cannot_load(struct shared_locks *shared, const struct fault *fault)
{
    if (shared->locks_unread++ == 0 && !shared->locks_unread_said)
        log_warn("agentos", NULL, "The locks' files can't be read whole, and the read is tried again: %s",
                 fault->text);
}

/* 1: read, 0: there is no file, -1: the file can't be read now. */
static int load_token(struct shared_locks *shared)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    int found = files_read(shared->supervisor->data, TOKEN_FOLDER "/" TOKEN_FILE, TOKEN_MAX, &text, &length,
                           NULL, &fault);
    if (found < 0 && !files_lasting(errno)) {
        cannot_load(shared, &fault);
        return -1;
    }
    if (found < 0)
        log_warn("agentos", NULL, "The locks' counter can't be read, the locks' files have to do: %s",
                 fault.text);
    if (found > 0)
        locks_load_token(shared->locks, strtoull(text, NULL, 10));
    return found > 0;
}

static void remove_lock(void *context, const char *file)
{
    struct shared_locks *shared = context;
    struct fault fault;
    if (!shared_remove(shared->supervisor->data, SHARED_LOCKS, file, &fault))
        log_warn("agentos", NULL, "The file of a lock that is free and forgotten stays: %s", fault.text);
    homes_forget(shared->homes, HOME_LOCK, file);
}

static uint64_t look_at_lock(void *context, const char *file)
{
    struct shared_locks *shared = context;
    struct file_stamp stamp = shared_stamp(shared->supervisor->data, SHARED_LOCKS, file);
    return stamp.inode ? names_hash(&stamp, sizeof stamp) | 1 : 0;
}

static void tell_locked(void *context, const char *name, const char *task, const char *lock, uint64_t token,
                        int64_t lease_until, const char *holder)
{
    struct shared_locks *shared = context;
    struct agent *agent = agents_find(&shared->supervisor->agents, name);
    if (agent && agent->worker.said_hello)
        agent_send(agent, MESSAGE_LOCKED, task, lock, token, (uint64_t)lease_until, holder);
}

static void lock_happened(void *context, const char *name, const char *event, const char *lock,
                          const char *task, uint64_t token)
{
    struct shared_locks *shared = context;
    control_event(shared->supervisor->control, agents_find(&shared->supervisor->agents, name), event,
                  DETAIL_TEXT("lock", lock), DETAIL_TEXT("task", task), DETAIL_NUMBER("token", token));
}

static void set_lock_timer(void *context, int64_t in_ms)
{
    struct shared_locks *shared = context;
    if (in_ms < 0)
        timer_clear(shared->supervisor->loop, &shared->lock_timer);
    else
        timer_set(shared->supervisor->loop, &shared->lock_timer, in_ms);
}

static int64_t now_ms(void *context)
{
    (void)context;
    return clock_monotonic_ms();
}

static bool is_home(void *context, const char *file)
{
    const struct shared_locks *shared = context;
    return !homes_of(shared->homes, HOME_LOCK, file, false);
}

static void say(void *context, const char *node, const struct lock_word *word)
{
    const struct shared_locks *shared = context;
    (void)far_locks_say(&shared->supervisor->local, node, word);
}

static const struct locks_operations lock_operations = {
    .save = save_lock,
    .save_token = save_token,
    .remove = remove_lock,
    .look = look_at_lock,
    .tell = tell_locked,
    .happened = lock_happened,
    .timer = set_lock_timer,
    .now_ms = now_ms,
    .is_home = is_home,
    .say = say,
};

static void lock_timer_rings(void *context)
{
    struct shared_locks *shared = context;
    locks_turn(shared->locks);
}

static void load_lock(void *context, const char *file)
{
    struct shared_locks *shared = context;
    int data = shared->supervisor->data;
    OWNED char *text = NULL, *aside = NULL;
    size_t length;
    struct fault fault, other;
    if (!names_markdown(file))
        return;
    OWNED char *name = memory_slice(file, strlen(file) - 3);
    int found = shared_read(data, SHARED_LOCKS, name, LOCK_FILE_MAX, &text, &length, NULL, &fault);
    if (found < 0 && !files_lasting(errno)) {
        cannot_load(shared, &fault);
        return;
    }
    if (found == 0 || (found > 0 && locks_load(shared->locks, name, text, length, &fault)))
        return;
    if (shared_set_aside(data, SHARED_LOCKS, file, &aside, &other))
        log_warn("agentos", NULL, "%s/%s is no lock: %s. The file was set aside as %s.", SHARED_LOCKS, file,
                 fault.text, aside);
    else
        log_warn("agentos", NULL, "%s/%s is no lock: %s; and %s", SHARED_LOCKS, file, fault.text, other.text);
}

/* The counter is above every token of a file; where the counter is missing, all the files together give the latest
 * token. An unreadable file is read again until it can be. */
static void load_locks(void *context)
{
    struct shared_locks *shared = context;
    struct fault fault;
    shared->locks_unread = 0;
    int token = load_token(shared);
    if (!shared_each(shared->supervisor->data, SHARED_LOCKS, load_lock, shared, &fault))
        cannot_load(shared, &fault);
    locks_hold(shared->locks, token < 0 || (token == 0 && shared->locks_unread > 0));
    if (shared->locks_unread > 0)
        timer_set(shared->supervisor->loop, &shared->load_timer, LOCKS_AGAIN_MS);
    shared->locks_unread_said = shared->locks_unread > 0;
}

/* --- locks of other nodes --- */

static const char *home_of(void *context, const char *lock)
{
    const struct shared_locks *shared = context;
    OWNED char *file = names_file(lock);
    return homes_of(shared->homes, HOME_LOCK, file, true);
}

/* The worker prints the text behind "held by". */
static const char *absence(void *context, const char *node)
{
    const struct shared_locks *shared = context;
    static char sentence[NAME_LENGTH_MAX + 100];
    if (!bus_link_connected(shared->supervisor->local.bus))
        return "nobody that this node knows of: the bus is away, and the lock's home is asked when it is "
               "back";
    if (!*node || nodes_are_there(shared->supervisor->local.nodes, node))
        return NULL;
    snprintf(sentence, sizeof sentence, "its home, the node '%s', which is away", node);
    return sentence;
}

static void claim_here(void *context, const char *agent, const char *task, const char *lock,
                       int64_t lease_seconds)
{
    const struct shared_locks *shared = context;
    locks_ask(shared->locks, agent, task, lock, lease_seconds);
}

static bool say_claims(void *context, const char *node, const struct lock_word *word)
{
    const struct shared_locks *shared = context;
    struct lock_word whole = *word;
    whole.token = locks_token(shared->locks);
    return far_locks_say(&shared->supervisor->local, node, &whole);
}

static int64_t boot_ms(void *context)
{
    (void)context;
    return clock_boot_ms();
}

static const struct lock_claims_operations claim_operations = {
    .home = home_of,
    .absence = absence,
    .tell = tell_locked,
    .here = claim_here,
    .say = say_claims,
    .now_ms = boot_ms,
};

static void claims_timer_rings(void *context)
{
    struct shared_locks *shared = context;
    lock_claims_turn(shared->claims, false);
    timer_set(shared->supervisor->loop, &shared->claims_timer, LOCK_CLAIMS_TURN_MS);
}

/* A lock without a home, though a node believes that this node is its home, is claimed again. */
static void hear(void *context, const struct lock_word *word)
{
    struct shared_locks *shared = context;
    locks_load_token(shared->locks, word->token);
    if (strcmp(word->what, "claims") != 0)
        lock_claims_hear(shared->claims, shared->hears, word);
    else if (lock_is_name(word->lock) && !home_of(shared, word->lock))
        locks_hear(shared->locks, shared->hears, word);
}

bool shared_locks_hear(struct shared_locks *shared, const char *node, const json_t *object)
{
    shared->hears = node;
    return far_locks_hear(object, hear, shared);
}

/* A lock that is in use here, though its home moved away, keeps its file until the next copy after its last holder. */
void shared_locks_copy(struct shared_locks *shared, const char *file, const char *text, size_t length)
{
    struct fault fault;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    OWNED_BUFFER struct buffer copy = {0};
    int64_t token;
    if (!frontmatter_parse(&matter, text, length, file, &fault))
        return;
    const struct yaml_node *said = yaml_get(matter.head, "token");
    if (said && yaml_integer(said, &token) && token > 0)
        locks_load_token(shared->locks, (uint64_t)token);
    buffer_add(&copy, text, length);
    if (locks_forget(shared->locks, file) &&
        !shared_write(shared->supervisor->data, SHARED_LOCKS, file, &copy, false, &fault))
        log_warn("agentos", NULL, "The copy of a lock of another node: %s", fault.text);
}

void shared_locks_moved(struct shared_locks *shared, const char *file, const char *node)
{
    struct fault fault;
    if (node && !*node && locks_forget(shared->locks, file))
        (void)shared_remove(shared->supervisor->data, SHARED_LOCKS, file, &fault);
    shared_locks_asks(shared);
}

void shared_locks_asks(struct shared_locks *shared)
{
    if (shared->claims)
        lock_claims_turn(shared->claims, true);
}

void shared_locks_far_turn(struct shared_locks *shared)
{
    locks_far_turn(shared->locks);
}

/* --- workers' requests --- */

/* A lease is as long as the task may take. An honest worker asks only for names that lock_is_name allows
 * (leases_name). */
bool shared_locks_ask(struct shared_locks *shared, const char *name, const char *task, const char *lock)
{
    struct agent *agent = agents_find(&shared->supervisor->agents, name);
    if (!agent || strlen(task) > MESSAGE_TASK_MOST || !lock_is_name(lock))
        return false;
    int64_t lease_seconds = agent->definition->limits.task_seconds;
    if (!home_of(shared, lock)) {
        lock_claims_leave(shared->claims, name, task, NULL);
        return locks_ask(shared->locks, name, task, lock, lease_seconds);
    }
    locks_leave(shared->locks, name, task);
    lock_claims_ask(shared->claims, name, task, lock, lease_seconds);
    return true;
}

void shared_locks_give_up(struct shared_locks *shared, const char *name, const char *task, const char *lock)
{
    locks_give_up(shared->locks, name, task, lock);
    lock_claims_leave(shared->claims, name, task, lock);
}

void shared_locks_agent_gone(struct shared_locks *shared, const char *name)
{
    locks_agent_gone(shared->locks, name);
    lock_claims_agent_gone(shared->claims, name);
}

void shared_locks_scan(struct shared_locks *shared)
{
    locks_scan(shared->locks);
}

/* --- opening --- */

/* The counter of claims' lists goes on over starts: by it the homes of other nodes' locks know which of two lists is
 * the later. A node that has lost its file is told the turn that it had. */
static uint64_t first_turn(const struct shared_locks *shared)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    int found = files_read(shared->supervisor->data, TOKEN_FOLDER "/" TURN_FILE, TOKEN_MAX, &text, &length,
                           NULL, &fault);
    uint64_t turn = (found > 0 ? strtoull(text, NULL, 10) & INT32_MAX : 0) + 1;
    if (!save_number(shared, TURN_FILE, turn, &fault))
        log_warn("agentos", NULL, "The turn of locks' claims can't be noted: %s", fault.text);
    return turn * LOCK_CLAIMS_TURNS;
}

struct shared_locks *shared_locks_open(struct supervisor *supervisor, struct homes *homes)
{
    struct shared_locks *shared = memory_new(1, sizeof *shared);
    const char *node = setting_text(SET_AGENTOS_BUS, NULL) ? node_name() : NULL;
    shared->supervisor = supervisor;
    shared->homes = homes;
    shared->lock_timer = (struct timer){.ring = lock_timer_rings, .context = shared};
    shared->load_timer = (struct timer){.ring = load_locks, .context = shared};
    shared->claims_timer = (struct timer){.ring = claims_timer_rings, .context = shared};
    shared->locks = locks_new(&lock_operations, shared, node);
    shared->claims = lock_claims_new(&claim_operations, shared, node ? first_turn(shared) : 0);
    shared_tidy(supervisor->data, SHARED_LOCKS);
    load_locks(shared);
    return shared;
}

void shared_locks_start(struct shared_locks *shared)
{
    if (shared->supervisor->local.bus)
        timer_set(shared->supervisor->loop, &shared->claims_timer, LOCK_CLAIMS_TURN_MS);
}

void shared_locks_close(struct shared_locks *shared)
{
    if (!shared)
        return;
    timer_clear(shared->supervisor->loop, &shared->lock_timer);
    timer_clear(shared->supervisor->loop, &shared->load_timer);
    timer_clear(shared->supervisor->loop, &shared->claims_timer);
    locks_free(shared->locks);
    lock_claims_free(shared->claims);
    free(shared);
}
