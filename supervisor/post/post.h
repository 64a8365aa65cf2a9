/* The post office (contract section 9): it takes envelopes out of outboxes into inboxes and handoffs, holds them back
 * while a receiver has no room, ends expired ones, and tells every sender how its envelopes ended.
 *
 * Files are the truth. Memory holds an index of the unfinished envelopes in the agents' iac/ folders and the waiting
 * ones in outboxes; the index is made anew from the files at start, and every step may be repeated after any crash
 * (start.c has the table). No function here blocks, follows a link or ends the process because of a tree's content; a
 * write that fails leaves the envelope in its place, is logged, and is tried again.
 *
 * The post office knows agents by their names, and of processes what its owner tells; its messages go out by way of
 * the owner. All calls come from the loop's thread. Decisions are made in a turn of their own, right after the
 * call (loop timer 0 ms), so the owner's functions are never called from within a post_… call except where their
 * comments say so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"
#include "supervisor/process/loop.h"
#include "supervisor/store/batch.h"
#include "supervisor/store/expiry.h"
#include "supervisor/store/mailbox.h"

struct post;

struct post_owner {
    /* VERDICT for the worker of the agent; a worker that isn't there asks again when it is (POST ""). */
    void (*verdict)(void *subject, const char *id, const char *status, const char *reason, int64_t at);
    /* The agent's iac/ has changed, by the post office or by people: LOOK_IAC; wake: there is work or something to
     * commit, so the agent isn't left asleep (a result or a bounce wakes nobody); full: no more results of some
     * sender are let in before the unread ones are read (LOOK_SHELF). */
    void (*look)(void *subject, bool wake, bool full);
    /* Whether the kernel tells of every file that people put into the agent's tree. NULL: it never does. */
    bool (*is_watched)(const void *subject);
    /* The agent hibernates: its queue.md had no block when its worker left, and the agent's watch and scan wake it for a
     * change. NULL: no agent ever hibernates. */
    bool (*rests)(const void *subject);
    /* A decision, for the log, followers and metrics. subject: the agent that it concerns, NULL: none. event: one of
     * envelope_accepted, envelope_delivered, envelope_deferred, envelope_refused, envelope_expired, envelope_bounced,
     * envelope_finished, envelope_read, envelope_failed, envelope_set_aside, envelope_removed, envelope_requeued,
     * envelope_purged. reason: "" none. Called within post_… calls too. */
    void (*told)(void *context, void *subject, const char *event, const struct envelope *envelope,
                 const char *reason);
    /* The end of the post_send or post_enqueue with this ticket: EX_OK, and the envelope's id; else why not, and
     * EX_NOINPUT: no such agent; EX_TEMPFAIL: backpressure; EX_IOERR. */
    void (*sent)(void *context, uint64_t ticket, int exit, const char *id, const struct fault *why);
    void *context;
};

/* data: descriptor of DATA_DIR, borrowed. Never NULL; touches no file yet. */
struct post *post_open(struct loop *loop, int data, const struct post_owner *owner);
void post_close(struct post *post); /* NULL is fine */

/* The present classes, queues and segments; borrowed until the next call. Before any other call. */
void post_roster(struct post *post, const struct roster *roster);

/* --- agents --- */

/* The agent is in agents.yaml (also: is back, or is otherwise defined). definition is borrowed until the next call or
 * post_agent_gone. Its tree may not exist yet. */
void post_agent(struct post *post, const char *name, void *subject, const struct roster_agent *definition);
/* The agent was taken out of agents.yaml and is drained: nothing is delivered to it any more, envelopes that wait for
 * it are refused. */
void post_agent_leaves(struct post *post, const char *name);
/* The agent is forgotten; its files stay as they are. subject and definition are not used any more. */
void post_agent_gone(struct post *post, const char *name);
/* Once, when every agent of agents.yaml is known and before a worker is started: from now on the files are taken up,
 * and a crash's leavings repaired, agent by agent, in slices, and each agent's before its worker is asked for. Agents
 * that come later are taken up in the turn after post_agent. */
void post_start(struct post *post);
/* Every agent has been begun: the boxes that nobody needed before are taken up now. */
void post_go_on(struct post *post);

void post_worker_starts(struct post *post, const char *name); /* a process is asked for */
void post_worker_ready(struct post *post, const char *name);  /* READY: the worker's own recovery is done */
void post_worker_down(struct post *post,
                      const char *name); /* the agent's process has ended, or it stays without one */
/* Something has changed in the agent's iac/ (inotify), or may have. */
void post_changed(struct post *post, const char *name);
/* Whether the file, ID.md, of the agent's folder (iac/inbox, iac/handoffs) is an envelope that is known to lie there. */
bool post_knows(const struct post *post, const char *name, const char *folder, const char *file);
/* The agent's queue.md has changed: of interest only while it has no process. */
void post_queue_changed(struct post *post, const char *name);
/* Every POLL_INTERVAL: finds changes that no notice told of, in slices. Of many agents without a process each is
 * looked at within every minute. */
void post_scan(struct post *post);
void post_journal_close(
    struct post *post); /* whole and durable; the next turn that needs a journal begins it anew */
void post_clock_was_set(struct post *post); /* the wall clock jumped */

/* --- workers' messages (post.c, results.c). False: the message is malformed, its worker isn't to be trusted --- */

bool post_rings(struct post *post, const char *name, const char *ids); /* POST */
bool post_settled(struct post *post, const char *name, const char *id, const char *status,
                  const char *commit); /* SETTLED */

/* ACTIVITY: the work that the agent's worker has begun, the id of an envelope or of a task. */
void post_works_at(struct post *post, const char *name, const char *what);
/* LOCK and UNLOCK: for the hooks; without them nobody ever gets a lock. */
bool post_lock(struct post *post, const char *name, const char *task, const char *lock);
bool post_unlock(struct post *post, const char *name, const char *task, const char *lock);

/* --- people's requests. Each returns an exit code of sysexits.h, EX_OK or another with a sentence in fault --- */

/* A message from the operator. EX_OK: the message goes with the turn, whose flush it shares, and the owner is told
 * with the ticket (any number of the caller's) when it is durable: in the inbox, or deferred in shared/outbox/; never
 * within the call. EX_NOINPUT: no such agent; EX_DATAERR: the owner isn't told any more. */
int post_send(struct post *post, const char *to, const char *text, int64_t ttl_seconds,
              enum priority priority, uint64_t ticket, struct fault *fault);
/* An item from the operator for a queue, whose text was found good (queues_check): the item goes with the turn, as a
 * message does, and the owner is told when it is durable in the queue's folder. EX_TEMPFAIL: the queue is full. id:
 * names_file's, NULL: a new one. */
void post_enqueue(struct post *post, const char *queue, const char *id, const char *text, int64_t ttl_seconds,
                  enum priority priority, uint64_t ticket);
/* The state of an item whose id (names_file's) was given before: *state is "pending", "in hand" or "done", or NULL
 * when nothing is known. EX_DATAERR and fault: the id has another text, or is a dead letter. */
int post_item_known(struct post *post, const char *queue, const char *id, const char *text,
                    const char **state, struct fault *fault);
/* A dead letter gets a fresh life: it lies in the folder where it was to be read (or was sent from, if it was
 * refused), created now, attempts 0; or is taken out. *agent: the agent whose dead-letter/ had it (borrowed until the
 * agent is gone). EX_NOINPUT: there is no such dead letter. */
int post_requeue(struct post *post, const char *id, const char **agent, struct fault *fault);
int post_purge(struct post *post, const char *id, const char **agent, struct fault *fault);

/* --- numbers, at any time, from the index and the folders, whatever the worker's state is --- */

struct post_depths {
    size_t inbox, handoffs, outbox, dead_letters;
};
struct post_pressure {
    enum throughput_class throughput_class;
    int64_t window, unfinished; /* handoffs, messages and items in the tree; not results and bounces */
    int64_t backlog, deferred;
};
bool post_depths(struct post *post, const char *name, struct post_depths *depths); /* false: no such agent */
/* As post_depths, but the outbox is not looked at, and told as 0. */
bool post_depths_waiting(struct post *post, const char *name, struct post_depths *depths);
bool post_pressure(struct post *post, const char *name, struct post_pressure *pressure);
/* As post_pressure, with persona.md's class of a second ago at most: each question of an agent tells of a hundred
 * others. */
bool post_pressure_lately(struct post *post, const char *name, struct post_pressure *pressure);
/* "none", "low" (the window is in use), "high" (the window is full, envelopes wait), "full" (the next envelope would
 * be refused). */
const char *post_pressure_word(const struct post_pressure *pressure);
/* The number of envelopes of this kind that came to this event since the start; event as told, without "envelope_". */
uint64_t post_count(const struct post *post, enum envelope_kind kind, const char *event);

/* --- agents of other nodes (far.c has the whole story) --- */

/* The bus's functions for the post office, called within its turn and within the calls below. */
struct post_bus {
    /* Sends the text to the node where the agent lives; it may be lost. A bus may drop a text whose message id it had
     * a moment ago. */
    void (*publish)(void *context, const char *agent, const char *message, const struct buffer *text);
    /* Sends the text to post_node_says of the node; it may be lost. */
    void (*tell)(void *context, const char *node, const struct buffer *text);
    void (*took)(void *context, uint64_t token);              /* the envelope need not come again */
    void (*later)(void *context, uint64_t token, int64_t ms); /* the envelope is to come again */
    /* false: the agent's lease here is over by the clock. */
    bool (*owns)(void *context, const char *agent);
    void *context;
};
void post_bus(struct post *post, const struct post_bus *bus); /* copied; before any agent lives elsewhere */
/* False, as at first: the tokens are void, and nothing can be sent; envelopes for other nodes wait. */
void post_bus_connected(struct post *post, bool connected);
/* The node of an agent that post_agent has named. NULL: this one, as at first. Else the agent's folder here, if there
 * is one, isn't looked at; "": nobody knows the node. there: that node answers, so that sending has a purpose. */
void post_lives(struct post *post, const char *name, const char *node, bool there);
/* An envelope from another node for an agent that should live here. */
void post_arrived(struct post *post, uint64_t token, const char *node, const void *bytes, size_t length);
/* A word of another node: verdicts about envelopes that this node sent, and how much room an agent there has. False:
 * the word is neither. */
bool post_node_says(struct post *post, const void *bytes, size_t length);
/* The number of the agent's envelopes that were sent to other nodes and have no verdict: before the agent moves,
 * there must be none. */
size_t post_travelling(const struct post *post, const char *name);

/* --- for work_queues.c, segments.c, peers.c --- */

/* The decisions of the hooks. A hook that is NULL: envelopes of its kind are refused ("there are no queues here").
 * The hooks are called in the post office's turn, and may call every function of this part. */
enum post_verdict {
    POST_DONE,    /* durable where it belongs: VERDICT delivered (item) or finished (segment) */
    POST_REFUSED, /* why: the reason */
    POST_LATER,   /* the hook can't decide now (a write failed): logged, and asked again */
    POST_GOES,    /* an item: the post office writes it to the hook's place */
    POST_WAITS,   /* a write: another node is asked; the write is offered again in a moment */
};
/* The place and the text of an item that is to be written. */
struct post_place_of_item {
    bool is_new;         /* nobody can know the item's id yet, so it lies nowhere */
    struct buffer *text; /* empty at first */
    const char *folder;  /* a path from DATA_DIR; there is no ID.md in it */
};
struct post_hooks {
    /* An item for queue:NAME, `from` set and checked. Repeated after a crash: an id that lies in the queue, or with a
     * consumer in any folder (post_lies), is POST_DONE without another effect. After each POST_GOES the end of the
     * write comes, in the same turn, and is the last word: POST_DONE, POST_REFUSED or POST_LATER. */
    enum post_verdict (*item)(void *context, const struct envelope *envelope,
                              struct post_place_of_item *place, struct fault *why);
    enum post_verdict (*item_written)(void *context, const struct envelope *envelope,
                                      enum write_result result, struct fault *why);
    /* A dead letter of this kind is requeued: it goes back to its queue, with created and attempts set for the new
     * life. */
    enum post_verdict (*item_again)(void *context, const struct envelope *envelope, struct fault *why);
    /* A write to segment:NAME; the verdict as for an item. */
    enum post_verdict (*segment)(void *context, const struct envelope *envelope, struct fault *why);
    /* An item that lay with an agent isn't there any more: status "finished", "failed", "expired" (its dead letter
     * lies there), "removed" (by hand). The agent's worker has said so, or its folders do. The call may come more
     * than once. */
    void (*item_ended)(void *context, const char *agent, const char *id, const char *status);
    void (*worker_ready)(void *context, const char *agent);
    void (*worker_down)(void *context, const char *agent);
    /* The agent's window may have room: items may be given out. */
    void (*room)(void *context, const char *agent);
    /* LOCK and UNLOCK of a worker; called at once, not in a turn. False: the message is malformed. */
    bool (*lock)(void *context, const char *agent, const char *task, const char *name);
    bool (*unlock)(void *context, const char *agent, const char *task, const char *name);
    void *context;
};
void post_hooks(struct post *post, const struct post_hooks *hooks); /* copied */

/* How many more envelopes the agent's window takes, 0 also for an agent that leaves or isn't known. */
int64_t post_room(struct post *post, const char *agent);

/* The folders of an agent's iac/ that have ID.md, as bits of enum post_place; 0: none. By name only, no file is
 * read. */
unsigned post_lies(struct post *post, const char *agent, const char *id);

/* Puts a copy of an item into the agent's iac/handoffs/, durable when true; counted, its TTL minded, the worker told.
 * True too for a copy of this id that lies there already. */
bool post_put(struct post *post, const char *agent, const struct envelope *envelope, struct fault *fault);
/* Takes ID.md out of the agent's iac/handoffs/ by a rename to name in folder (a file of that name stays and is a
 * fault), then reads it there. Between two file systems the file is copied, and a crash in between leaves both; so
 * only while the agent has no process. 1: taken, *copy is the caller's to free (envelope_free); a file that is no
 * envelope is a fault though it was moved (-1). 0: there is no ID.md. The caller decides by copy->status ("reading":
 * a worker had begun it). Not durable: the caller's next durable step in folder is. */
int post_take(struct post *post, const char *agent, const char *id, int folder, const char *name,
              struct envelope *copy, struct fault *fault);
/* The sender learns that the envelope has failed: a bounce in its iac/inbox/, durable when true. True too when the
 * sender has the bounce already, is the operator (logged), isn't known any more (logged), or never sent the envelope:
 * a bounce goes only to a sender whose outbox/ or archive/ has the id, so that nobody can make the post office write
 * to others by a forged `from`. from: the agent or queue:NAME that didn't do the work. */
bool post_bounce(struct post *post, const struct envelope *about, const char *from, const char *reason,
                 struct fault *fault);
/* Writes the envelope, as it is, into the agent's iac/dead-letter/, durable when true; the worker is told. */
bool post_bury(struct post *post, const char *agent, const struct envelope *envelope, struct fault *fault);
/* One line in the log, an event, a count. */
void post_tell(struct post *post, const char *agent, const char *event, const struct envelope *envelope,
               const char *reason);
/* The heap of everything that expires by the wall clock; entries live in their owners (expiry.h). */
struct expiry *post_expiry(struct post *post);
