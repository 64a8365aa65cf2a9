/* The work queues from within: work_queue*.c share these types and functions. No other file includes this header. */
#pragma once

#include <sys/queue.h>
#include <sys/tree.h>

#include "common/files.h"
#include "supervisor/shared/work_queues.h"

enum item_state {
    ITEM_WAITS,   /* no consumer has the item */
    ITEM_OUT,     /* with its consumer */
    ITEM_DOUBT,   /* the consumer's worker has ended: the item's state is to be found out */
    ITEM_EXPIRED, /* no consumer had the item in time */
    ITEM_GONE,    /* the item has ended; its file is to be removed, and its memory freed */
};

enum { QUEUE_CHAINS = 256 };

RB_HEAD(item_tree, item); /* the item whose turn is first at its left */
TAILQ_HEAD(item_list, item);

struct item {
    struct work_queue *queue;
    struct queue_sender *sender; /* the envelope's `from` */
    struct item_tree *tree;      /* the tree in which the item waits while it may be given out; else NULL */
    RB_ENTRY(item) turn_entry;   /* in the tree */
    struct item_list *list;      /* the queues' list that has the item; NULL: none */
    TAILQ_ENTRY(item) list_link;
    LIST_ENTRY(item) held_link; /* while held: among its consumer's items */
    bool held;
    bool counted; /* in the queue's `states` */
    /* As the file in the queue has it, without the body; consumer: the present one, or the last. */
    struct envelope envelope;
    enum item_state state;
    const char *owed; /* ITEM_GONE: the reason of a bounce that the sender gets first; NULL: none */
    int64_t again_ms; /* monotonic: not before; 0: at once */
    uint64_t turn; /* ITEM_OUT, with a consumer of another node: of this giving (work_queue_far.c); else 0 */
    bool given;    /* with such a consumer: its node may have the item, so only its word counts */
    int64_t asked_ms; /* with such a consumer: monotonic, when its node was asked last; 0: not asked */
    bool seen;        /* while the folder is scanned */
    bool missing;     /* the item's file wasn't there at the last look */
    struct timer expiry;
};

/* A sender of items in a queue, or a limited sender that had some. */
struct queue_sender {
    LIST_ENTRY(queue_sender) link, limited_link;
    char *name;
    size_t items;
    bool limited;   /* the sender may send to some consumers only: */
    size_t *places; /* these consumers' places in the definition; owned */
    size_t count;
    struct item_tree waiting; /* of the sender's items, while it is limited */
};

/* The consumers' room, as far as it is known. */
struct queue_rooms {
    size_t count;  /* consumers */
    size_t width;  /* a power of two, at least count */
    int64_t *most; /* most[i] is the larger of most[2i] and most[2i+1]; most[width+i] is a consumer's */
    struct named_place *by_name; /* in the order of names */
    size_t *told, told_count;    /* places with news */
    int64_t *
        full_until; /* monotonic: a consumer of another node that said it had no room is left alone till then */
    /* The next consumer to be asked, and how many are left since the last round began. */
    size_t next_asked, unasked;
};

struct queue_ids {   /* work_queue_ids.c's */
    uint32_t *marks; /* a table; 0: an empty place */
    size_t capacity, count;
    size_t gathered; /* consumers whose ids are gathered */
    size_t there;    /* the number of ids when these were gathered */
    bool failed;     /* a folder could not be read to its end */
};

struct work_queue {
    struct queues *queues;
    char *name, *folder;                   /* "shared/queues/NAME" */
    const struct roster_queue *definition; /* NULL: agents.yaml has the queue no more */
    struct item **items;                   /* in the order of their ids */
    size_t count;
    size_t arriving;              /* items that are being written, in this turn */
    size_t states[ITEM_GONE + 1]; /* the number of items in each state */
    struct item_tree open;        /* waiting items of the senders that may send to everybody */
    LIST_HEAD(, queue_sender) senders[QUEUE_CHAINS], limited;
    struct queue_rooms rooms;
    struct queue_ids ids;
    size_t next;     /* the consumer to be looked at first, so that equals take turns */
    bool met;        /* every file from before the start was read: a new one since was dropped by somebody */
    bool look_again; /* the last look was only a part */
    bool full_said, trouble_said;
};

struct queues {
    int data;
    const struct roster *roster; /* borrowed; never NULL once queues_roster was called */
    struct expiry *expiry;
    const struct queues_operations *operations;
    void *context;
    struct work_queue **all;
    size_t count;
    size_t first;              /* the queue whose turn to give out is first */
    LIST_HEAD(, guest) guests; /* work_queue_guests.c */
    struct item_list due;      /* items with a step due now */
    struct item_list later;    /* items with a step due later, or to be given out then; the earliest first */
    LIST_HEAD(, item) held[QUEUE_CHAINS]; /* by their consumers */
    bool started;
};

/* work_queues.c */
struct work_queue *queues_find(const struct queues *queues, const char *name); /* NULL: there is none */
struct item *queue_find(const struct work_queue *queue, const char *id);
/* A new item, which waits; the envelope is copied. */
struct item *queue_insert(struct work_queue *queue, const struct envelope *envelope);
void item_set_envelope(struct item *item, const struct envelope *envelope);
void item_set_state(struct item *item, enum item_state state);
/* The item rests for a second. */
void item_later(struct item *item, const char *what, const struct fault *fault);
bool item_is_over(const struct item *item, int64_t now);
void item_due(struct item *item); /* the item's step comes in the next turn */
/* The item has ended: the sender gets its bounce, the file is removed, the item is freed; or all that later, if it
 * fails. */
void item_end(struct item *item, const char *owed);

/* work_queue_files.c: the folders */
enum item_found { ITEM_READ, ITEM_MISSING, ITEM_UNREADABLE, ITEM_LATER };
/* The item's file; with ITEM_READ the envelope is the caller's to free, and is an item of this queue with this id. */
enum item_found queue_read(const struct work_queue *queue, const char *id, struct envelope *envelope,
                           struct fault *fault);
bool queue_write(const struct work_queue *queue, const struct envelope *envelope, struct fault *fault);
/* The same for an item whose file lies there: after a power cut the file may say again what it said before. */
bool queue_rewrite(const struct work_queue *queue, const struct envelope *envelope, struct fault *fault);
/* Looks at the folder: new files are taken up, items whose file was deleted are given up. The first look is the
 * start's, and so are those after it as long as one of the files could not be read. */
void queue_look(struct work_queue *queue);
void item_was_taken_out(struct item *item);
/* The item's file; the item ends, and its sender is told. */
void item_set_aside(struct item *item, const char *why);

/* work_queue_place.c: the places of items */
int queue_open(const struct work_queue *queue, struct fault *fault);
/* The name of a taken back item until its file says so: in the queue's folder, hidden. */
char *queue_taken_name(const char *id);
/* Removes .ID.taken, if there is one. */
bool queue_clear_taken(const struct work_queue *queue, const char *id, struct fault *fault);
enum item_place {
    PLACE_UNSURE,     /* the place can't be told now: fault */
    PLACE_COMES,      /* nor before the consumer's worker is READY */
    PLACE_CHANGES,    /* look again */
    PLACE_ENDED,      /* *end: "finished", "failed", "expired" */
    PLACE_CONSUMER,   /* in handoffs/ */
    PLACE_TAKEN_BACK, /* .ID.taken lies in the queue's folder; *attempts is its number */
    PLACE_NOWHERE,
};
/* The place of an item that was given to its consumer, which lives here; take: takes the item back from a consumer
 * without a process. */
enum item_place item_find(const struct work_queue *queue, const struct envelope *item, bool take,
                          int64_t *attempts, const char **end, struct fault *fault);
/* An agent that has the item, or has ended it, by its folders; NULL: none. may_be: its folders can't be read now. */
const char *item_whose(const struct work_queue *queue, const struct envelope *envelope, bool *may_be);

/* work_queue_room.c: the consumer with the most room */
void queue_rooms_define(struct work_queue *queue); /* the queue's consumers are others */
/* The consumer of this name as the definition has it; NULL: there is none. */
const char *queue_consumer(const struct work_queue *queue, const char *name);
bool queue_is_away(const struct work_queue *queue, const char *agent); /* the agent lives on another node */
void queue_rooms_free(struct work_queue *queue);
/* The consumer may have another room. */
void queue_rooms_tell(struct work_queue *queue, const char *consumer);
/* Every consumer may have another room. */
void queue_rooms_doubt(struct work_queue *queue);
/* The consumer, on another node, has no room: it is left alone for a while. */
void queue_rooms_full(struct work_queue *queue, const char *consumer, int64_t for_ms);
/* Asks the consumers with news, and the next few in turn. */
void queue_rooms_ask(struct work_queue *queue);
void queue_sender_define(const struct work_queue *queue, struct queue_sender *sender);
bool queue_sender_has_room(const struct work_queue *queue, const struct queue_sender *sender);
/* The consumer for the item, by class and load: of those that the sender may send to and that have room, one that is
 * neither the sender itself nor the last consumer comes first, then the last consumer, then the sender; of several
 * the one with the most room in its window; of equals the next in turn. NULL: none. */
const char *queue_choose(struct work_queue *queue, const struct item *item, size_t *place);

/* work_queue_ids.c: the ids that may lie with a consumer */
void queue_ids_begin(
    struct work_queue *queue); /* the consumers are others, or a folder could not be read: from the first */
/* The ids of one consumer at least. */
void queue_ids_gather(struct work_queue *queue, int64_t until_ms);
/* The ids of all consumers were gathered. */
bool queue_ids_whole(const struct work_queue *queue);
/* The id comes to lie with a consumer. */
void queue_ids_add(struct work_queue *queue, const char *id);
/* false: the id lies with no consumer. */
bool queue_ids_may_have(const struct work_queue *queue, const char *id);

/* work_queue_waiting.c: the order of items */
size_t queue_items_of(const struct work_queue *queue, const char *sender);
void queue_senders_define(
    struct work_queue *queue); /* after queue_rooms_define, or when the senders' rights are others */
void queue_senders_free(struct work_queue *queue);
void item_set_sender(struct item *item,
                     const char *sender); /* while the item is in no list; NULL: it is about to be freed */
void item_waits(struct item *item);       /* the item may be given out */
void item_stand_in(struct item *item, struct item_list *list);
void item_leave(struct item *item);                         /* the item is in no list any more */
void item_held_by(struct item *item, const char *consumer); /* NULL: nobody */
/* The first item that a consumer has room for; NULL: none. */
struct item *queue_next(struct work_queue *queue);

/* work_queue_guests.c: items of other nodes with consumers that live here */
void guests_free(struct queues *queues);
void guests_tidy(struct queues *queues);
/* The agent doesn't live here any more. */
void guests_of_none(struct queues *queues, const char *agent);
/* The worker has ended, or is READY. */
void guests_worker(struct queues *queues, const char *agent, bool down);
void guests_ended(struct queues *queues, const char *agent, const char *id, const char *status);
void queue_hear_question(struct work_queue *queue, const char *node, const struct queue_word *word);

/* work_queue_assign.c: an item's way to a consumer and back */
void queue_give_out(struct work_queue *queue, int64_t until_ms); /* one item at least */
void item_find_out(struct item *item);                           /* ITEM_DOUBT */
/* Asks the item's consumer on another node about it; given: the consumer may have it. */
void item_offer(struct item *item, bool given);
void item_say(struct item *item, const char *what, const struct envelope *whole, uint64_t key);
/* The item waits again, or becomes a dead letter: (d). */
void item_come_back(struct item *item, int64_t attempts, const char *reason);
#define ITEM_WORKER_ENDED "given back: the worker of %s has ended"
void item_lose(struct item *item, enum item_found found,
               const struct fault *fault); /* the item's file can't be used */
void item_recover(struct item *item);      /* at start */
void item_expire(struct item *item);       /* ITEM_EXPIRED */
