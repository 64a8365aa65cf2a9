/* Work queues (contract section 9): shared/queues/QUEUE/ID.md, items of which each goes to exactly one consumer at a
 * time.
 *
 * An item's file lies in its queue's folder until the item has ended, whichever consumer has it; the file's consumer
 * and status say so. The consumer works on a copy in its own iac/handoffs/. Memory holds an index of the files, made
 * anew at start.
 *
 * The post office, the processes and the clock of retries are operations that the owner hands in; the queue's own
 * folders are written through shared_files.h. No item is given out or ended within a call, but in queues_turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/envelope.h"
#include "common/format/roster.h"
#include "supervisor/store/batch.h"
#include "supervisor/store/expiry.h"

struct queues;

enum {
    QUEUE_ITEMS_MAX = 10000, /* of a queue; a further item is refused: backpressure */
    /* Of a queue and an agent, so that it leaves room for the others' items; people have no such limit. */
    QUEUE_ITEMS_OF_ONE_MAX = QUEUE_ITEMS_MAX / 2
};

enum queue_verdict {
    QUEUE_TAKEN,
    QUEUE_REFUSED,
    QUEUE_LATER,
    QUEUE_GOES /* the caller writes the item */
};

enum queue_worker {
    QUEUE_WORKER_NONE,   /* no process, and none is on its way */
    QUEUE_WORKER_COMING, /* the worker's own recovery isn't done */
    QUEUE_WORKER_READY,
    QUEUE_WORKER_AWAY /* the agent lives on another node, or nobody knows where */
};

enum { QUEUE_READ_LATER = -2, QUEUE_READ_NONE = -1 };

/* The nodes' words to each other about an item whose consumer lives elsewhere (work_queue_far.c). */
struct queue_word {
    const char *what, *queue, *agent; /* agent: the consumer */
    uint64_t turn, key;
    const char *status; /* of "ended" */
    struct envelope
        item; /* id, from, created, ttl_seconds, attempts; the whole item where body is not NULL */
};

/* All but may_send_to and each_id, up to tell, as post.h promises of the post_… functions of the same names. */
struct queues_operations {
    /* 0 too while the agent would not take work up; elsewhere: its window. */
    int64_t (*room)(void *context, const char *agent);
    /* sender: an item's. NULL: the sender may send to everybody, as people and agents that are gone from agents.yaml.
     * Borrowed until the next queues_roster. */
    const struct text_list *(*may_send_to)(void *context, const char *sender);
    unsigned (*lies)(void *context, const char *agent, const char *id); /* bits of enum post_place */
    /* Calls see with every id in the agent's handoffs/, archive/ and dead-letter/. False: a folder can't be read to
     * its end. */
    bool (*each_id)(void *context, const char *agent, void (*see)(void *seer, const char *id), void *seer);
    bool (*put)(void *context, const char *agent, const struct envelope *envelope, struct fault *fault);
    int (*take)(void *context, const char *agent, const char *id, int folder, const char *name,
                struct envelope *copy, struct fault *fault);
    bool (*bounce)(void *context, const struct envelope *about, const char *from, const char *reason,
                   struct fault *fault);
    bool (*bury)(void *context, const char *agent, const struct envelope *envelope, struct fault *fault);
    void (*tell)(void *context, const char *agent, const char *event, const struct envelope *envelope,
                 const char *reason);
    /* ID.md of the agent's folder `place` (one bit of enum post_place): 1 (the copy is the caller's to free), 0: the
     * file isn't there, QUEUE_READ_LATER: it can't be read now, QUEUE_READ_NONE: it is no envelope. */
    int (*read)(void *context, const char *agent, unsigned place, const char *id, struct envelope *copy);
    enum queue_worker (*worker)(void *context, const char *agent);
    /* The agent's last worker may have committed more than its folders show (journal.h: journal_unfinished is not 0). */
    bool (*unfinished)(void *context, const char *agent);
    void (*timer)(void *context, int64_t in_ms); /* queues_turn then, or earlier */
    /* Sends the word to the node, NULL: the node where the consumer lives. The word may be lost, and come twice.
     * False: it can't be sent now. */
    bool (*say)(void *context, const char *node, const struct queue_word *word);
};

/* data: descriptor of DATA_DIR, borrowed; expiry: where pending items mind their time, borrowed. */
struct queues *queues_open(int data, struct expiry *expiry, const struct queues_operations *operations,
                           void *context);
void queues_close(struct queues *queues); /* NULL is fine; before the expiry */
/* The present queues; borrowed until the next call. Items of a former queue stay where they are. */
void queues_roster(struct queues *queues, const struct roster *roster);
/* Once, before a worker is started: reads the files. */
void queues_start(struct queues *queues);

/* Makes an item for queue:NAME durable in its folder. QUEUE_TAKEN too when this very item (its id) was taken before.
 * again: the item was a dead letter and is to live once more, whatever lies with its former consumers. */
enum queue_verdict queues_add(struct queues *queues, const struct envelope *item, bool again,
                              struct fault *why);
/* As queues_add, for a caller that writes the file together with others: QUEUE_GOES says that text is to become ID.md
 * in *folder (a path from DATA_DIR, borrowed), where no file has that name, and is followed by queues_offered within
 * the same turn. is_new: nobody can know the item's id yet. */
enum queue_verdict queues_offer(struct queues *queues, const struct envelope *item, bool is_new,
                                struct buffer *text, const char **folder, struct fault *why);
/* WRITE_DONE: the item is durable there, and counts from now on. Any other result: the write's failure. */
enum queue_verdict queues_offered(struct queues *queues, const struct envelope *item,
                                  enum write_result result, struct fault *why);
/* Whether the operator may give this item: EX_OK, or the refusal's code of sysexits.h. */
int queues_check(const struct queues *queues, const char *queue, const char *text, int64_t ttl_seconds,
                 struct fault *fault);

/* The post office's news (post.h, struct post_hooks). */
void queues_item_ended(struct queues *queues, const char *agent, const char *id, const char *status);
void queues_worker_ready(struct queues *queues, const char *agent);
void queues_worker_down(struct queues *queues, const char *agent);
void queues_room(struct queues *queues, const char *agent); /* the agent may have another room */

/* --- between nodes --- */

enum { QUEUES_FAR_MS = 2000 };

/* Another node's word; and the questions to the nodes every QUEUES_FAR_MS; again: the bus is another. */
void queues_hear(struct queues *queues, const char *node, const struct queue_word *word);
void queues_far_turn(struct queues *queues, bool again);
/* The agent lives here now, or does not any more. */
void queues_agent_moved(struct queues *queues, const char *agent);

void queues_turn(struct queues *queues);
void queues_scan(struct queues *queues); /* people's changes in the folders */

/* Calls visit with the descriptor of each queue's folder, made when missing. */
void queues_each_folder(struct queues *queues, void (*visit)(void *context, int folder), void *context);
void queues_count(const struct queues *queues, const char *queue, size_t *waiting, size_t *under_way);
