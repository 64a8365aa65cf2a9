/* The work queues from within: what queues*.c share. Nobody else includes this. */
#ifndef AGENTOS_SUPERVISOR_SHARED_WORK_QUEUE_PART_H
#define AGENTOS_SUPERVISOR_SHARED_WORK_QUEUE_PART_H

#include "common/files.h"
#include "supervisor/shared/work_queues.h"

enum item_state {
    ITEM_WAITS,   /* nobody has it */
    ITEM_OUT,     /* with its consumer */
    ITEM_DOUBT,   /* its consumer's worker has ended: what became of it is to be found out */
    ITEM_EXPIRED, /* nobody had it in time */
    ITEM_GONE,    /* it has ended; its file is to be removed, and its memory with it */
};

struct item {
    struct work_queue *queue;
    struct envelope
        envelope; /* as its file in the queue says, without the body; consumer: who has it, or had it last */
    enum item_state state;
    const char *owed; /* ITEM_GONE: the reason of a bounce that the sender gets first; NULL: none */
    int64_t again_ms; /* monotonic: not before; 0: at once */
    bool seen;        /* while the folder is scanned */
    bool missing;     /* its file wasn't there at the last look */
    struct expiry_entry expiry;
};

struct work_queue {
    struct queues *queues;
    char *name, *folder;                   /* "shared/queues/NAME" */
    const struct roster_queue *definition; /* NULL: it isn't in agents.yaml any more */
    struct item **items;                   /* in the order of their ids */
    size_t count;
    size_t arriving; /* that are being written, in this turn */
    size_t next;     /* the consumer that is looked at first, so that equals take turns */
    bool met;        /* all that lay there at start was read: what is new since was dropped by somebody */
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
    bool started;
};

/* work_queues.c */
struct item *queue_find(const struct work_queue *queue, const char *id);
/* A new item that waits; the envelope is copied. */
struct item *queue_insert(struct work_queue *queue, const struct envelope *envelope);
void item_set_envelope(struct item *item, const struct envelope *envelope);
void item_set_state(struct item *item, enum item_state state);
void item_later(struct item *item, const char *what, const struct fault *fault); /* not again for a second */
bool item_is_over(const struct item *item, int64_t now);
/* It has ended: the sender gets its bounce, the file is removed, the item is freed; or all that later, if it fails. */
void item_end(struct item *item, const char *owed);
void text_set(char **at, const char *text);

/* work_queue_files.c: the folders */
enum item_found { ITEM_READ, ITEM_MISSING, ITEM_UNREADABLE, ITEM_LATER };
/* The item's file; with ITEM_READ the envelope is the caller's to free, and is an item of this queue with this id. */
enum item_found queue_read(const struct work_queue *queue, const char *id, struct envelope *envelope,
                           struct fault *fault);
bool queue_write(const struct work_queue *queue, const struct envelope *envelope, struct fault *fault);
/* What lies in the folder: new files are taken up, items whose file was deleted are given up. The first look is the start's,
 * and so are those after it as long as one of the files could not be read. */
void queue_look(struct work_queue *queue);
/* Where an item that was taken back lies until its file says so: in the queue's folder, hidden. */
char *queue_taken_name(const char *id);
void item_was_taken_out(struct item *item);
int queue_open(const struct work_queue *queue, struct fault *fault);
void item_set_aside(struct item *item, const char *why); /* its file; it ends, and its sender is told */

/* work_queue_assign.c: who gets what, and who loses it again */
void queue_give_out(struct work_queue *queue);
void item_find_out(struct item *item); /* ITEM_DOUBT */
void item_recover(struct item *item);  /* at start */
void item_expire(struct item *item);   /* ITEM_EXPIRED */
/* An agent that has it, or has ended it, by its folders; NULL: nobody does. may_be: its folders can't be read now. */
const char *item_whose(const struct work_queue *queue, const struct envelope *envelope, bool *may_be);

#endif
