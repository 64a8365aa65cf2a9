/* The messages between the processes, and their form in bytes.
 *
 * One table has every message with its number, its sender, its receiver, and its fields in order. A message
 * is a 4-byte header (version, 0, type as 16 bits little-endian) and then the fields: numbers as 8 bytes
 * little-endian, texts and bytes as 4 bytes of length and that many bytes. The reader checks each field and
 * that no byte is left over; a message that fails ends its connection, never its reader.
 *
 *   worker  <-> supervisor   nng pair sockets over ipc, one each (a message is one nng message)
 *   zygote  <-> supervisor   a socket pair (framed by channel.h)
 *   gateway <-> supervisor   a socket pair (framed by channel.h)
 *   mirror  <-> supervisor   a socket pair (framed by channel.h)
 *   bus     <-> supervisor   a socket pair (framed by channel.h)
 *
 * Messages say only "look" or carry a question to the model; files are the truth. A lost message costs time
 * until the next scan, never data. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/shared_bytes.h"

enum { MESSAGE_VERSION = 1, MESSAGE_MAX = 4 * 1024 * 1024 /* bytes of one message, header included */ };

#define MESSAGE_NOWHERE UINT64_MAX
/* The why of BUS_KEPT where the key is certainly not changed. */
#define MESSAGE_OTHER_REVISION "the key has another revision"

enum party { PARTY_SUPERVISOR, PARTY_WORKER, PARTY_ZYGOTE, PARTY_GATEWAY, PARTY_MIRROR, PARTY_BUS };

/* X(name, number, from, to, fields)   fields: n = number, t = text, b = bytes, in order; documented beside. Between worker and gateway
 * stands the supervisor, which passes the message on. */
#define MESSAGE_TABLE(X)                                                                                                            \
    /* supervisor -> zygote: agent (roster_encode), generation, url, data_dir, poll_seconds, supervisor pid,   \
       1: it begins paused, its control group of memory, the epoch of its lease (0: none),         \
       1: its threads are tried for */                    \
    X(SPAWN, 1, SUPERVISOR, ZYGOTE, "tnttnnntnn")                                                                                   \
    /* zygote -> supervisor: agent name, generation, pid; pid 0: the worker could not be started, and why */                        \
    X(SPAWNED, 2, ZYGOTE, SUPERVISOR, "tnnt")                                                                                       \
    /* supervisor -> zygote: pid of a SPAWNED worker, which stands still until then, so that the supervisor knows it         \
       before it can connect, and the line of the worker before it is closed */      \
    X(GO, 3, SUPERVISOR, ZYGOTE, "n")                                                                                               \
    /* worker -> supervisor: agent name, generation */                                                                              \
    X(HELLO, 10, WORKER, SUPERVISOR, "tn")                                                                                          \
    /* worker -> supervisor: its commits name a later epoch than its lease has, so it ends */                                       \
    X(EPOCH, 53, WORKER, SUPERVISOR, "n")                                                                                           \
    /* worker -> supervisor: the tree is bootstrapped, work begins */                                                               \
    X(READY, 11, WORKER, SUPERVISOR, "")                                                                                            \
    /* worker -> supervisor: enum agent_activity, what of ("provider", a task's id), until (epoch s, 0) */                          \
    X(ACTIVITY, 12, WORKER, SUPERVISOR, "ntn")                                                                                      \
    /* worker -> supervisor: queue depth, inbox, handoffs, outbox, dead letters, negative streak,            \
       tasks done (of all time), tokens today */                      \
    X(FIGURES, 13, WORKER, SUPERVISOR, "nnnnnnnn")                                                                                  \
    /* worker -> supervisor: every present problem, a line each (replaces the former ones); last, the cause of its wait */          \
    X(PROBLEMS, 14, WORKER, SUPERVISOR, "t")                                                                                        \
    /* worker -> supervisor: task id, reward + 1 (0, 1, 2), commit, tokens in, tokens out, end: "done",     \
       "expired", "poison", "cancelled", "duplicate"; a dead letter's reason, else "" */                       \
    X(FINISHED, 15, WORKER, SUPERVISOR, "tntnntt")                                                                                  \
    /* worker -> supervisor: task id, why: the provider refuses the task as it is. The task stays, other tasks go \
       on, and the task is tried again later */                 \
    X(DEFERRED, 19, WORKER, SUPERVISOR, "tt")                                                                                       \
    /* worker -> supervisor: the serial of the heartbeat that is answered */                                                        \
    X(ALIVE, 16, WORKER, SUPERVISOR, "n")                                                                                           \
    /* worker -> supervisor: ids of new envelopes in iac/outbox/, a line each; "": look at all of them */                           \
    X(POST, 17, WORKER, SUPERVISOR, "t")                                                                                            \
    /* worker -> supervisor: an envelope that lay in iac/inbox/ or iac/handoffs/ has come to its end there: id, status       \
       ("finished", "read", "failed"), its commit */      \
    X(SETTLED, 18, WORKER, SUPERVISOR, "ttt")                                                                                       \
    /* worker -> supervisor: several messages at once, for each one costs both sides a wake-up: each with 4 bytes of length
       before it; no SEVERAL within */         \
    X(SEVERAL, 60, WORKER, SUPERVISOR, "")                                                                                          \
    /* worker -> supervisor: task id, lock's name: the task waits for LOCKED. A second ask keeps the place */                       \
    X(LOCK, 40, WORKER, SUPERVISOR, "tt")                                                                                           \
    /* worker -> supervisor: task id, lock's name: not wanted any more, or the task is over */                                      \
    X(UNLOCK, 41, WORKER, SUPERVISOR, "tt")                                                                                         \
    /* supervisor -> worker: task id, lock's name, fencing token (0: the lock is not, or no longer, held), lease until            \
       (epoch s; of a task without a place: when it may ask again; else 0), the lock's other holder ("iris: task-7") or "" */ \
    X(LOCKED, 42, SUPERVISOR, WORKER, "ttnnt")                                                                                      \
    /* supervisor -> worker: the verdict on an envelope of its outbox: id, status ("delivered", "deferred", "refused",      \
       "finished" for a segment that was written), reason ("" none), epoch s */       \
    X(VERDICT, 43, SUPERVISOR, WORKER, "tttn")                                                                                      \
    /* worker -> supervisor: serial, task id, the case as JSON (contract section 8): let this agent's auditor judge it.   \
       Answered by AUDITED: serial, enum audit_end, task id, what it printed, or why there is nothing */         \
    X(AUDIT, 50, WORKER, SUPERVISOR, "ntt")                                                                                         \
    X(AUDITED, 51, SUPERVISOR, WORKER, "nntt")                                                                                      \
    /* worker -> supervisor: an audit stands in rewards.md: task id, reward + 1, audit score + 1, reasons, its commit */            \
    X(JUDGED, 52, WORKER, SUPERVISOR, "tnntt")                                                                                      \
    /* supervisor -> worker: serial */                                                                                              \
    X(HEARTBEAT, 20, SUPERVISOR, WORKER, "n")                                                                                       \
    /* supervisor -> worker: bits of enum look */                                                                                   \
    X(LOOK, 21, SUPERVISOR, WORKER, "n")                                                                                            \
    /* supervisor -> worker: finish the cycle within so many milliseconds, then exit 0 */                                           \
    X(STOP, 22, SUPERVISOR, WORKER, "n")                                                                                            \
    /* supervisor -> worker: 1 pause (finish the cycle first), 0 go on */                                                           \
    X(PAUSE, 23, SUPERVISOR, WORKER, "n")                                                                                           \
    /* supervisor -> worker: serial, task id; answered by CANCELLED: serial, enum cancel_end */                                     \
    X(CANCEL, 24, SUPERVISOR, WORKER, "nt")                                                                                         \
    X(CANCELLED, 25, WORKER, SUPERVISOR, "nn")                                                                                      \
    /* supervisor -> worker: the agent's definition has changed (roster_encode) */                                                  \
    X(DEFINITION, 26, SUPERVISOR, WORKER, "t")                                                                                      \
    /* supervisor -> worker: exit 0 if there is nothing at all to do; else never mind */                                            \
    X(REST, 27, SUPERVISOR, WORKER, "")                                                                                             \
    /* supervisor -> worker: serial, a commit as a person names it: the learning since is undone between two cycles;  \
       answered by ROLLED: serial, exit code (sysexits.h), the undone parts or the reason */             \
    X(ROLLBACK, 28, SUPERVISOR, WORKER, "nt")                                                                                       \
    X(ROLLED, 29, WORKER, SUPERVISOR, "nnt")                                                                                        \
    /* worker -> supervisor -> gateway: serial of the worker's, agent name, system prompt, task, where in the prompt (byte  \
       offsets) the supervisor puts in {{peers}}, {{segments}} and {{budget}} (MESSAGE_NOWHERE: not at all), bytes that      \
       these texts may have in all (MESSAGE_NOWHERE: as many as they have), 1: the prompt can't be made smaller.       \
       The supervisor sets the name from the connection. */       \
    X(ASK, 30, WORKER, GATEWAY, "ntttnnnnn")                                                                                        \
    /* worker -> supervisor: id of the task that the next ASK is about; its ACTIVITY comes when the last one is told of */          \
    X(AHEAD, 34, WORKER, SUPERVISOR, "t")                                                                                           \
    /* gateway -> supervisor -> worker: serial, agent name, enum answer_kind, text (the reply, or the fault   \
       as a sentence), finish_reason ("" unknown), model, tokens in, tokens out, provider, retry after ms, when that base    \
       URL and model last answered any request (monotonic ms; 0: never), cached tokens (part of tokens in), requests, cost (common/usage.h). The supervisor sets    \
       the figures: the sums of all requests of the question */                     \
    X(ANSWER, 31, GATEWAY, WORKER, "ntntttnntnnnnn")                                                                                \
    /* gateway -> supervisor -> worker: serial, agent name, bytes that a whole prompt of this agent may have from now on,      \
       tokens of the context where a provider taught them (0: a setting or nobody says them), bytes of the texts that the    \
       supervisor put into this question. Comes before the ANSWER that it belongs to */    \
    X(ROOM, 38, GATEWAY, WORKER, "ntnnn")                                                                                           \
    /* gateway -> supervisor: a request has ended: serial, agent name, model as it was asked for, enum spent, tokens in,     \
       tokens out, cached tokens, 1: the question goes out again as soon as AGAIN comes (FORGET instead: no budget) */      \
    X(SPENT, 37, GATEWAY, SUPERVISOR, "nttnnnnn")                                                                                   \
    /* gateway -> supervisor: URL, model, the lessons of its answers about the form of requests (in the gateway's own words;     \
       replaces the former lessons). The supervisor says them to the next gateway, as RECALL, before any ASK */  \
    X(LEARNED, 39, GATEWAY, SUPERVISOR, "ttt")                                                                                      \
    X(RECALL, 44, SUPERVISOR, GATEWAY, "ttt")                                                                                       \
    /* supervisor -> gateway: serial, agent name: the next request of the question is in the budget */                              \
    X(AGAIN, 36, SUPERVISOR, GATEWAY, "nt")                                                                                         \
    /* gateway -> supervisor -> worker: serial, agent name, why the request waits ("provider"; "": it has gone out now, and     \
       waits no more), until (epoch s), a sentence */   \
    X(WAITING, 32, GATEWAY, WORKER, "nttnt")                                                                                        \
    /* worker -> supervisor -> gateway: serial, agent name: the answer is not wanted any more */                                    \
    X(FORGET, 33, WORKER, GATEWAY, "nt")                                                                                            \
    /* supervisor -> gateway: agent name: its questions that wait for a provider are asked now */                                   \
    X(RETRY, 35, SUPERVISOR, GATEWAY, "t")                                                                                          \
    /* gateway -> supervisor: a request to a model has failed through no fault of its own, or been answered after that (or for    \
       the first time): provider's name, URL, model, 1: answered, a sentence's second half */ \
    X(PROVIDER, 45, GATEWAY, SUPERVISOR, "tttnt")                                                                                   \
    /* supervisor -> gateway: an alert is to be posted: serial, URL of agents.yaml, webhook-id, webhook-timestamp,           \
       webhook-signature ("": none), JSON. Answered by NOTIFIED: serial, status (0: no response), ms that Retry-After      \
       asks for (MESSAGE_NOWHERE: it doesn't), a sentence's second half that says why there is none */      \
    X(NOTIFY, 46, SUPERVISOR, GATEWAY, "nttttt")                                                                                    \
    X(NOTIFIED, 47, GATEWAY, SUPERVISOR, "nnnt")                                                                                    \
    /* supervisor -> mirror: agent name: its branch may have new commits */                                                         \
    X(PUSH, 70, SUPERVISOR, MIRROR, "t")                                                                                            \
    /* mirror -> supervisor: agent name, how a push has ended (0 done, 1 failed and tried again, 2 the remote went another   \
       way), the commit or a sentence */      \
    X(PUSHED, 71, MIRROR, SUPERVISOR, "tnt")                                                                                        \
    /* supervisor -> mirror: agent name, a file below DATA_DIR: the remote's branch is to come there, as a git bundle.        \
       Answered by FETCHED: agent name, 0: it is there, the commit or a sentence */     \
    X(FETCH, 72, SUPERVISOR, MIRROR, "tt")                                                                                          \
    X(FETCHED, 73, MIRROR, SUPERVISOR, "tnt")                                                                                       \
    /* supervisor -> mirror: agent name: has the remote a branch of it? Answered by LOOKED: agent name, 0: it has, 1: it     \
       can't be asked, 3: it has none; the commit or a sentence */      \
    X(LOOK_THERE, 74, SUPERVISOR, MIRROR, "t")                                                                                      \
    X(LOOKED, 75, MIRROR, SUPERVISOR, "tnt")                                                                                        \
    /* supervisor -> bus (bus_link.h): ticket, subject, message id, bytes */                                                        \
    X(BUS_PUBLISH, 80, SUPERVISOR, BUS, "nttb")                                                                                     \
    /* supervisor -> bus: subject, 1: its messages are wanted, 0: no longer */                                                      \
    X(BUS_FOLLOW, 81, SUPERVISOR, BUS, "tn")                                                                                        \
    /* supervisor -> bus: token, ms after which the message is to come again (MESSAGE_NOWHERE: never, it is acknowledged) */        \
    X(BUS_SETTLE, 82, SUPERVISOR, BUS, "nn")                                                                                        \
    /* supervisor -> bus: ticket, key, revision that it must have (0: none, MESSAGE_NOWHERE: any), 1: delete it, value */           \
    X(BUS_PUT, 83, SUPERVISOR, BUS, "ntnnt")                                                                                        \
    /* bus -> supervisor: 1: connected, stream and bucket are there; 0: all requests are forgotten. The fault, a       \
       sentence ("": nothing); a 1 again with another sentence forgets nothing */            \
    X(BUS_STATE, 84, BUS, SUPERVISOR, "nt")                                                                                         \
    /* bus -> supervisor: ticket of BUS_PUBLISH, why the stream doesn't have it ("": it has) */                                     \
    X(BUS_PUBLISHED, 85, BUS, SUPERVISOR, "nt")                                                                                     \
    /* bus -> supervisor: token, subject, the sender's node, bytes */                                                               \
    X(BUS_ARRIVED, 86, BUS, SUPERVISOR, "nttb")                                                                                     \
    /* bus -> supervisor: key ("": all keys that there were have been told), revision, 1: it is gone, value */                      \
    X(BUS_KEY, 87, BUS, SUPERVISOR, "tnnt")                                                                                         \
    /* bus -> supervisor: ticket of BUS_PUT, the key's revision now (0: the key was not changed), why not */                        \
    X(BUS_KEPT, 88, BUS, SUPERVISOR, "nnt")

enum message_type {
#define X(name, number, from, to, fields) MESSAGE_##name = number,
    MESSAGE_TABLE(X)
#undef X
};

/* The activity of a worker, as the worker says; the supervisor derives the agent's state from it. */
enum agent_activity { ACTIVITY_IDLE, ACTIVITY_WORKING, ACTIVITY_WAITING, ACTIVITY_PAUSED };

/* The parts of an agent's tree that may have changed. */
enum look {
    LOOK_QUEUE = 1,
    LOOK_TREE = 2,
    LOOK_IAC = 4,
    LOOK_ALL = 7,
    LOOK_BUDGET = 8, /* not the tree: a worker that waits for its budget may go on */
    LOOK_RETRY = 16, /* nor this: a person wants the provider to be asked now, whatever backoff runs */
    LOOK_SHELF = 32  /* results and bounces are to be read now: no more are let in before that */
};

/* How a question to the model ended. Only OK carries a reply; every other kind leaves the task where it is. */
enum answer_kind {
    ANSWER_OK,
    ANSWER_PASSING, /* the provider fails in a way that may pass: ask again after retry_after_ms or a backoff */
    ANSWER_AUTH,    /* 401, 403: the key is wrong; ask again with a backoff, somebody must mend it */
    ANSWER_QUOTA,   /* 402, or a 429 that says the quota or the money is used up */
    ANSWER_REQUEST, /* 400, 404, 413, 422 …: this request as it is will never be answered */
    ANSWER_BUDGET, /* the supervisor's: the question was not asked, no budget allows it before retry_after_ms, or
                    * LOOK_BUDGET */
    ANSWER_LENGTH, /* the prompt is too long: ask again with a prompt of at most the bytes of ROOM */
};

/* The most of a count in FIGURES and FINISHED: a larger number is no count of anything, and as JSON a negative or a
 * rounded one; the marks of a streak, which double, would overflow and never be higher than it. */
#define MESSAGE_COUNT_MOST (UINT64_C(1) << 53)

/* Bytes, at most, of a task's id in ACTIVITY, AHEAD and LOCK, and of the text of PROBLEMS. A longer one ends its worker. */
enum { MESSAGE_TASK_MOST = 1024, MESSAGE_PROBLEMS_MOST = 64 * 1024 };

/* The cost of one request to a model. */
enum spent {
    SPENT_FREE, /* the request was sent, and certainly generated nothing: 400, 401, 403, 404, 413, 422, 429, 503 */
    SPENT_KNOWN, /* the tokens that its reply reports */
    SPENT_UNKNOWN, /* the request was sent, and nobody says how many tokens it took: at least the tokens named, and its
                    * reservation */
    SPENT_UNSENT, /* no request has ended: the gateway ends, and has not sent the question's next request */
};

/* What has become of an order to cancel a task. */
enum cancel_end {
    CANCEL_UNKNOWN, /* there is no such task */
    CANCEL_DONE,
    CANCEL_LATER, /* a block of the task can't be taken out of queue.md now, and stays there */
};

/* The end of an audit. */
enum audit_end {
    AUDIT_PRINTED, /* the auditor has ended well; its output is any text without a NUL */
    AUDIT_FAILED,  /* there will be no score; a sentence says why */
    AUDIT_LATER,   /* too many wait: ask again */
};

const char *message_name(unsigned type); /* "ASK"; "unknown" for a number that is none */

/* Writing. A message is built in a buffer: begin, then one call a field. */
void message_begin(struct buffer *message, enum message_type type);
void message_number(struct buffer *message, uint64_t number);
void message_text(struct buffer *message, const char *text); /* NULL counts as "" */
void message_size(struct buffer *message,
                  size_t length); /* of a text or bytes, which the caller puts behind */
void message_bytes(struct buffer *message, const void *bytes, size_t length);

/* The whole message at once, fields after the table: uint64_t for n, const char * for t, const void * and size_t for b. */
void message_make(struct buffer *message, enum message_type type, ...);
void message_make_list(struct buffer *message, enum message_type type, va_list fields);

/* Reading. `reader` borrows the bytes; texts are copies that the caller frees (NULL after a fault). Every get
 * returns false, and leaves the reader failed for good, when the field isn't there. */
struct reader {
    const unsigned char *at, *end;
    bool failed;
    struct shared_bytes
        *kept; /* the message is among these bytes; NULL: the message is gone with its reader */
};

/* False: too short, too long, another version. *type may be a number that is in no table. */
bool message_open(struct reader *reader, const void *bytes, size_t length, unsigned *type);
/* The same, of a message that `from` may send to `to`. False also for a number that is in no table; *type is set. */
bool message_receive(struct reader *reader, const void *bytes, size_t length, enum party from, enum party to,
                     unsigned *type);
bool message_get_number(struct reader *reader, uint64_t *number);
bool message_get_text(struct reader *reader, char **text, size_t limit); /* limit in bytes; longer is a fault;
                                                                            a NUL inside is a fault */
/* A text's bytes, borrowed, without a NUL behind them; a NUL inside is a fault. */
bool message_get_span(struct reader *reader, const char **text, size_t *length);
/* The next message of SEVERAL, borrowed. */
bool message_get_part(struct reader *reader, const void **bytes, size_t *length);
bool message_end(const struct reader *reader); /* everything was read, nothing failed */

/* All fields at once, after the table: uint64_t * for n, char ** for t (all freed and NULL when it fails), const void **
 * (borrowed) and size_t * for b. Also checks message_end. */
bool message_read(struct reader *reader, enum message_type type, ...);
