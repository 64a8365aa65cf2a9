/* The post office from within: its files share these types and functions. No other file includes this header. */
#pragma once

#include <sys/queue.h>

#include "supervisor/post/envelope_index.h"
#include "supervisor/post/post.h"
#include "supervisor/store/mailbox.h"

enum {
    TURN_MAX = 256,   /* envelopes that one turn decides on, */
    DECIDING_MS = 20, /* and for this time */
    BATCH_MAX = 256,  /* deliveries under one flush */
    BATCH_BYTES_MAX = 8 * 1024 * 1024,
    KEPT_MAX = 16 * 1024, /* bytes of a body that is kept from the decision to the delivery */
    RETRY_MS = 1000,      /* after a write or a read that failed */
    /* Files and bytes that one look at an agent's folders reads: the others wait for the look, and its names alone may
     * take 40 ms. */
    LOOK_FILES_MAX = 256,
    LOOK_BYTES_MAX = 4 * 1024 * 1024,
    REFUSALS_MOST = 256, /* of one sender in REFUSALS_MS; then its outbox rests */
    REFUSALS_MS = 10 * 1000,
    MISSING_MS =
        1000, /* how long a file may be away before it counts as removed: editors save by several renames */
    LOOKING_MS = 10,        /* of looks at folders in one turn, */
    ROUND_MS = 5,           /* of the round over all boxes, */
    ROUND_LEAST = 16,       /* but this many boxes at least, */
    SCAN_MS = 5,            /* and of a scan */
    SCANNED_AT_LEAST = 256, /* agents without a process that each scan looks at; all of them within */
    SCANNED_WITHIN_MS = 60 * 1000,
    UP_EACH_MS = 50,
    UP_WITHIN_MS = 50 * 1000,   /* between two scans of an agent with a process, where they are many */
    OTHERS_EACH_MS = 30 * 1000, /* between two looks at outbox and dead letters of an agent without one */
    OUTBOX_REST_MS = 100,       /* between two looks at a whole outbox */
    ORIGINS_MAX = 16,           /* works of one agent that are remembered */
    ROOM_UNKNOWN = -1,
    IDS_MAX = 1024, /* of one outbox in memory; when more are rung, the folder is looked at instead */
};

/* The body of a dead letter whose task is larger than an envelope, and still stands in queue.md. */
#define POST_TEXT_IN_QUEUE "The task's text is in queue.md.\n"

/* The operator's letters of this turn (operator_sends.c). */
struct operator_sends {
    struct operator_send *all;
    size_t count, joined;
};

/* Items on their way into the queues' folders (shared_submissions.c). */
struct shared_submissions {
    struct shared_submission *all;
    size_t count, joined;
};

/* A sender's refusals (refusals.c). */
struct refusals {
    struct refusal *all;
    size_t count;
    int64_t counted_ms; /* since when new ones are counted */
    int64_t made;
};

/* An agent's last works, the newest last (origins.c). */
struct origins {
    struct origin {
        char *trace;
        int64_t hops; /* of the envelope; 0: a task */
    } * all;
    size_t count;
    size_t trusted; /* the number of further envelopes that are as their files say */
    bool ready;     /* the outbox was looked at after READY */
};

/* An envelope that came over the bus and is being decided on (far_arrivals.c). */
struct arrival {
    struct arrival *next;
    struct box *sender, *receiver;
    char *id, *node; /* owned */
    uint64_t token;
};

/* Another node that wants to hear of an agent's room. */
struct asking {
    char *node; /* owned */
    bool told;  /* the node was told that there is none */
};

enum waking { WAKE_NOBODY, WAKE_LOOK, WAKE_UP, WAKE_FULL /* and its inbox is to be read */ };

/* The number of a folder's files, counted anew when it has changed. */
struct folder_count {
    uint64_t mark;
    size_t count;
};

/* An agent's place; or the operator's, which has an outbox only. */
struct box {
    struct post *post;
    struct box *chain; /* in the table */
    char *name;
    void *subject;
    const struct roster_agent *definition; /* NULL: the operator */
    bool leaving;
    bool fresh;  /* the box's files haven't been read yet */
    bool down;   /* the agent has no process */
    bool ready;  /* the agent's process has brought its own commits to their end */
    bool active; /* the box stands in post->active.boxes */

    struct shelf shelves[2]; /* by FOLDER_INBOX, FOLDER_HANDOFFS */
    struct shelf waits;      /* envelopes for the agent that lie in outboxes */

    struct {
        char **ids; /* to be decided on, in their order; owned, from done on */
        size_t count, done;
        bool from_start; /* the ids were found at start: deferred envelopes were promised their places */
        bool wanted;     /* the whole folder is to be looked at */
        int64_t after_ms;
        int64_t rests_until_ms; /* monotonic: no envelope is decided on before */
        size_t waiting;         /* the agent's envelopes among the waits of others */
    } outbox;
    struct {
        bool wanted;
        int64_t after_ms;
        uint64_t pass;
        uint64_t marks[FOLDER_COUNT]; /* of the folders that were looked at; 0: look again */
        /* monotonic: of the marks of outbox and dead letters, while the agent is down. */
        int64_t others_ms;
        int64_t scanned_ms;      /* monotonic: while the agent isn't down */
        LIST_ENTRY(box) up_link; /* in post->scan.up, while the agent isn't down */
    } look;                      /* at inbox and handoffs */
    struct {
        bool wanted;      /* the dead letters are to be looked at */
        int64_t after_ms; /* and again then, after a fault; 0: not */
        char *from;       /* the look goes on behind this id; owned; NULL: from the first one */
        int64_t began_ns;
        int64_t looked_ns; /* wall clock: letters that changed before are known */
        bool owe;          /* some senders are told when they have read their inbox */
        bool again;        /* a sender has read, while a look was under way */
    } dead;                /* letters */
    struct {
        bool wanted;      /* an envelope waits, or there is room */
        bool owed;        /* bounces wait for room on the agent's shelf, with the holders that owe them */
        int64_t after_ms; /* failed deliveries are tried again then; 0: none */
    } pump;
    enum waking waking;
    struct folder_count counts[FOLDER_COUNT];

    struct {
        enum throughput_class throughput_class;
        struct file_stamp stamp;
        int64_t looked_ms; /* monotonic: at the stamp */
    } persona;             /* as persona.md says */
    struct refusals refusals;
    struct origins origins;
    bool complained; /* about failed deliveries to the agent */
    struct tasks *tasks;
    struct {
        char *node;            /* where the agent lives; owned; NULL: here */
        bool there;            /* the agent's node answers */
        bool silent;           /* that node has left an envelope without a verdict for long */
        int64_t room;          /* in the agent's window, as that node said last; ROOM_UNKNOWN */
        int64_t room_at_ms;    /* when that node said so */
        struct asking *asking; /* nodes, of an agent that lives here; owned */
        size_t asking_count;
        /* How many envelopes of one sender may travel to the agent, and since when (post_far_pace). */
        int64_t pace, paced_ms;
        bool tidies; /* the next pump looks at every answered envelope */
        /* Another node had the agent before: the envelopes that its outbox came with may have been sent from there. */
        bool taken_over;
        /* Hashes of ids: this sender's envelopes with the last verdicts here; owned; NULL: none. */
        uint64_t *ended;
        size_t ended_next;
        /* The last place of the window, for those nodes; clock_monotonic_ms; 0: it isn't kept. */
        int64_t kept_until_ms;
        bool kept_last; /* the place was kept the last time that it was free */
    } far;
    struct {
        uint64_t pump; /* the pump that has counted */
        /* Results and bounces of this sender that lie unread with the receiver that is pumped. */
        int64_t count;
        int64_t ahead; /* envelopes of this sender that travel to a receiver elsewhere */
    } unread; /* for such a receiver count has bits of the kinds that may not go there now (post_is_held_up) */
};

/* An envelope on its way into a tree, in this turn. */
struct delivery {
    struct index_entry *entry; /* the waiting one */
    struct envelope envelope;
    enum folder folder;
    size_t number; /* in the batch */
};

struct post {
    struct loop *loop;
    int data;
    struct post_owner owner;
    struct post_hooks hooks;
    const struct roster *roster;
    struct envelope_index *index;
    struct expiry *expiry;
    struct timer turn, clock;
    struct {
        struct box **table; /* by name */
        size_t capacity, count;
    } boxes;
    struct box *people;
    struct {
        struct box **boxes;
        size_t count, next_look, next_outbox;
        struct tasks *large_round; /* over a large queue.md (queued_tasks.c); NULL: none is under way */
    } active;
    struct {
        size_t next; /* the table's chain where the round goes on */
        bool waits;  /* until the agents are begun */
    } round;         /* over all boxes (post.c) */
    struct {
        struct timer timer;  /* the next slice */
        LIST_HEAD(, box) up; /* boxes that aren't down: each scan looks at all of them, or at some */
        struct box *up_next; /* NULL: the scan has looked at all */
        size_t up_count;
        /* Chains of the table in which the scan still looks at the other boxes. */
        size_t rest_from, rest_count;
        int64_t began_ms;
    } scan;
    bool started, in_turn;
    uint64_t pumps; /* so far */
    struct batch batch;
    struct {
        struct journal *records; /* NULL: there is no journal */
        int place;               /* the journal's folder, while there is one */
        bool redone;             /* every record is carried out: the journal may be written to */
        bool doubtful;           /* a checkpoint has failed */
        bool complained;
        int64_t again_ms; /* the journal is not opened before that */
        struct timer checkpoint;
        struct ahead *ahead; /* a thread writes a checkpoint's files ahead; NULL: not now */
    } journal;
    struct {
        struct delivery *items;
        size_t count, bytes; /* bytes: the operator's sends' and submissions' too */
    } deliveries;
    struct operator_sends operator_sends;
    struct shared_submissions submissions;
    struct {
        struct index_entry *entries[TURN_MAX];
        size_t count;
    } ringing; /* entries that are due in this turn */
    struct {
        struct post_bus bus; /* zeroed: there is none */
        bool connected;
        struct arrival *arrivals;
        struct words *words; /* for other nodes, told at the turn's end */
        struct box *people;  /* the operators of other nodes */
    } far;
    struct {
        struct count {
            char event[32];
            uint64_t kinds[KIND_SEGMENT + 1];
        } * all;
        size_t count;
    } counts; /* of events */
};

/* box.c */
struct box **post_chain_of(const struct post *post,
                           const char *name); /* where the table's chain of the box begins */
struct box *post_add_box(struct post *post, const char *name);
void post_set_down(struct box *box, bool down);
void post_set_turn(struct post *post, int64_t in_ms);
struct box *post_box(const struct post *post, const char *name); /* NULL: not known */
void post_wake(struct box *box);                                 /* the box has something for the next turn */
/* The agent's worker is to look, when the turn ends. */
void post_look_due(struct box *box, enum waking waking);
void post_verdict(struct box *sender, const char *id, const char *status, const char *reason);
struct envelope post_light(const struct index_entry *entry); /* the envelope's fields in the index; borrows */
void post_note(struct box *box, const char *event, const struct envelope *envelope, const char *reason);
/* The entry, of a sender's outbox, waits for the receiver. */
void post_waits_for(struct index_entry *entry, struct box *receiver);
/* The entry is forgotten, with its time. */
void post_forget(struct post *post, struct index_entry *entry);
/* The entry's time is minded from now on, by the envelope's own fields. */
void post_mind(struct post *post, struct index_entry *entry);
bool post_is_over(const struct index_entry *entry, int64_t now);
/* A folder's or a file's state as one number: boxes are many. 0: there is none. */
uint64_t post_mark(const struct file_stamp *stamp);
/* The stamps of these folders of the agent (bits of enum folder), below its iac/, whose links are not followed; others
 * are left as they are, or are filled, too. */
void post_folder_stamps(const struct box *box, unsigned folders, struct file_stamp stamps[FOLDER_COUNT]);
/* The folder had this stamp, which was taken after begun_ns (clock_kernel_ns), before it was looked at; files lay in
 * it. */
void post_looked(struct box *box, enum folder folder, const struct file_stamp *stamp, size_t files,
                 int64_t begun_ns);
void post_each(struct post *post, void (*visit)(struct box *box));
/* The index's entry; a new entry when there was none. */
struct index_entry *post_entry_at(struct box *box, enum folder folder, const char *id);
/* The post office put the file there; stamp: the file's, NULL: to be looked at. */
void post_lies_there(struct box *box, enum folder folder, const struct envelope *envelope,
                     const struct file_stamp *stamp);
struct file_stamp post_stamp_of(struct box *box, enum folder folder, const char *id); /* now */
/* Results and bounces of the sender, by name, that lie unread with the receiver. */
int64_t post_unread_of(const struct box *receiver, const char *sender);

/* delivery.c: outboxes, windows, delivery */
void post_outbox_ids(struct box *box, const char *ids);
void post_outbox_look(struct box *box);
/* Decides on the next envelope of the outbox. False: there is none, or the outbox rests. */
bool post_outbox_next(struct box *box);
void post_pump(struct box *receiver);
void post_deliver(struct post *post); /* the turn's batch */
void post_give_up_waiting(struct box *receiver,
                          const char *reason); /* every envelope that waits for the agent is refused */
void post_drop_waiting_of(struct box *sender);
/* The envelope waits for its receiver; *envelope may be empty afterwards. */
void post_let_wait(struct box *sender, struct box *receiver, struct envelope *envelope);

static inline bool is_far(const struct box *box)
{
    return box->far.node != NULL;
}
/* Whether the box has a folder here that is its agent's: not the operators' boxes, nor an agent that has moved away. */
static inline bool has_tree(const struct box *box)
{
    return box != box->post->people && !is_far(box);
}

/* False: the agent's tree is here, and its lease is over by the clock: this node slept in the middle of a turn,
 * another node may have the agent by now, and writes in the tree count no more. */
static inline bool post_owns(const struct box *box)
{
    const struct post_bus *bus = &box->post->far.bus;
    return !bus->owns || !has_tree(box) || bus->owns(bus->context, box->name);
}

/* far_arrivals.c: envelopes that came over the bus, until the node that sent them has a verdict */
/* False: the same envelope is being decided on already. */
bool post_arrival_add(struct box *sender, struct box *receiver, const char *id, const char *node,
                      uint64_t token);
void post_arrival_verdict(struct box *sender, const char *id, const char *status, const char *reason);
void post_arrival_later(struct box *sender, const char *id, int64_t ms); /* the envelope comes again */
void post_arrival_forget(struct arrival **at);                           /* at: its place in the list */
/* Whether the envelope ahead of an arriving one was lost, or is still to come: the arriving one must not go past it. */
bool post_arrival_is_early(const struct box *sender, const char *ahead);
void post_tell_room(struct box *receiver, int64_t room); /* to nodes that ask */
/* True: the only free place is kept a moment for envelopes that wait on other nodes, though others wait here. */
bool post_keeps_place(struct box *receiver, int64_t room);
void post_arrivals_free(struct box *box); /* the box's notes of arrivals */
void post_words_tell(struct post *post);  /* verdicts and room, to the nodes that wait for them */
void post_words_drop(struct post *post);  /* the bus has gone: the other nodes ask again */

/* Between two verdicts, or words of room, in one message. */
#define POST_NEXT_WORD "---\n"

/* How an envelope on the bus begins that names the one ahead of it, before that one's id (envelope_parse passes the line
 * over), and the reason of its verdict where that one isn't there. */
#define POST_AHEAD_BEGINS "---\n"
#define POST_AHEAD        POST_AHEAD_BEGINS "ahead: "
#define POST_EARLY        "the one ahead of it has not come"

/* far.c */
void post_far_take_up(struct post *post);
void post_far_close(struct post *post);
/* Arrivals for the receiver, or of it as a sender, go back to the bus; NULL: all of them. */
void post_drop_arrivals(struct post *post, const struct box *receiver);

/* origins.c: trace, hops and created of sent envelopes */
void post_origin_add(struct box *box, const char *trace, int64_t hops);
void post_origins_free(struct box *box);
void post_origins_trust(struct box *box); /* the supervisor has started, or the agent has come */
void post_origins_looked(struct box *box, size_t count); /* count: envelopes in the outbox */
void post_origin_set(struct box *sender, struct envelope *envelope, const struct file_stamp *stamp);

/* refusals.c: refused envelopes that still lie in the outbox */
void post_refuse(struct box *sender, const struct envelope *envelope, const char *reason);
/* Tells of a refusal. Past REFUSALS_MOST of them the sender's outbox rests. */
void post_note_refusal(struct box *sender, const char *event, const struct envelope *envelope,
                       const char *reason);
/* The envelope stays in the outbox, which is looked at again in a while. */
void post_try_later(struct box *sender, const char *id, const char *why);
void post_offer_again(struct box *sender); /* without a message: the outbox is looked at in a moment */
/* The refusal's reason; NULL: the envelope wasn't refused, or isn't the same any more. */
const char *post_refusal_of(struct box *sender, const char *id);
void post_refusals_free(struct box *sender);
/* False: the sender's last worker has committed more than its folders show, and an envelope in the outbox may have
 * been refused by that commit. The next worker says when it is ready. */
bool post_outbox_settled(struct box *sender);

/* journal.c: durable with one flush */
void post_journal_start(struct post *post);                      /* before any folder is looked at */
void post_journal_flush(struct post *post, struct batch *batch); /* as batch_flush */
/* Accepted envelopes are on disk in their places, and none comes back from the journal. */
bool post_journal_settle(struct post *post, struct fault *fault);

/* windows.c */
enum throughput_class post_class(struct box *box);
enum throughput_class post_class_lately(struct box *box); /* as the class was known a second ago */
int64_t post_window(struct box *box, int64_t *backlog);   /* backlog may be NULL */
int64_t post_unfinished(const struct box *box);

/* operator_sends.c: the operator's letters */
void post_operator_sends_join(struct post *post);   /* the turn's batch */
void post_operator_sends_answer(struct post *post); /* letters that joined, after the batch's flush */
void post_operator_sends_forget(struct post *post);
/* Letters that joined and will lie in the agent's inbox. */
int64_t post_operator_sends_arriving(const struct box *receiver);

/* shared_submissions.c: envelopes for queues and segments; as post_operator_sends_… */
/* An item that is not yet on disk; NULL: none. */
const struct envelope *post_submitted_item(const struct post *post, const char *id);
/* The envelope may be empty afterwards. */
void post_submit_item(struct box *sender, struct envelope *envelope);
void post_submit_write(struct box *sender, const struct envelope *envelope);
void post_submissions_join(struct post *post);
void post_submissions_answer(struct post *post);
void post_submissions_drop(struct box *sender); /* outside a turn */
void post_submissions_forget(struct post *post);

/* receiver_scan.c: files in inbox/ and handoffs/, and people's changes there */
void post_look_into(struct box *box, bool at_start);
/* The entry's file isn't there any more: finds its new place or its end. */
void post_is_gone(struct index_entry *entry);

/* dead_letters.c: the end of envelopes without an answer */
void post_expire(struct post *post);
/* Goes on with dead-letter/ID.md, wherever a crash interrupted its end. */
void post_dead_letter(struct box *box, const char *id);
void post_dead_letters(struct box *box);

/* bounce.c */
extern const char post_removed_by_hand[]; /* the reason */
enum bounce {
    BOUNCE_NEEDLESS, /* the sender sent no such envelope, or has been told */
    BOUNCE_ADDED,
    BOUNCE_WAITS, /* as many of this `from` as the backlog takes lie unread with the sender */
    BOUNCE_LATER  /* the sender's folders can't be read now */
};
/* Adds the bounce to the batch when the sender is to have one: *number in the batch. before: bounces of this `from`
 * that the sender is to have by the same batch. */
enum bounce post_add_bounce(struct post *post, struct batch *batch, const struct envelope *about,
                            const char *from, const char *reason, size_t before, size_t *number);
/* The batch was flushed: adds the bounce to the index. False: the bounce isn't there, fault says why. */
bool post_bounce_written(struct post *post, const struct batch *batch, size_t number,
                         const struct envelope *about, const char *from, struct fault *fault);
void post_bounced(struct post *post, const struct envelope *about, const char *reason); /* logs the bounce */
/* As post_bounce; fault is set with BOUNCE_LATER, which a bounce that could not be written gives too. */
enum bounce post_bounce_now(struct post *post, const struct envelope *about, const char *from,
                            const char *reason, struct fault *fault);
/* dead_letters.c: as post_bounce_now, of a final envelope in the box's dead-letter/; needless unless it expired or failed. */
enum bounce post_tell_end(struct box *box, const struct envelope *envelope, struct fault *fault);
/* Whether the sender has had the bounce that tells of the removal by hand: 1: yes, 0: no; -1: its folders can't be
 * read now. */
int post_removal_told(struct post *post, const struct envelope *about);
/* For a bounce that came from another node: BOUNCE_ADDED: it is news; BOUNCE_NEEDLESS; BOUNCE_LATER. */
enum bounce post_bounce_came(struct post *post, const struct envelope *bounce);
/* Tells the sender of an envelope that lies with its receiver already. False: it lies nowhere. */
bool post_repeated(struct box *sender, struct box *receiver, const struct envelope *envelope);
/* Whether the agent has sent the envelope, by its own files. */
enum result_verdict { RESULT_TAKEN, RESULT_REFUSED, RESULT_LATER /* the request can't be read now */ };
/* results.c: for a result of the sender. Taken: the result's trace and hops follow the request now. Else why. */
enum result_verdict post_result(const struct box *sender, struct envelope *result, struct fault *why);

/* far_sends.c: envelopes to other nodes */
/* The envelope of an agent that another node had counts as sent from there: its copy is written, durable. */
void post_may_have_been_sent(struct box *sender, const struct envelope *envelope);
/* Whether the envelope was sent already, before a crash too. */
bool post_was_sent(struct box *sender, const char *id);
/* Sends envelopes without a verdict once more, and tidies. Returns the room in the receiver's window that may be used
 * now; *expected: how many more of the waiting envelopes' senders need not be told. */
int64_t post_far_room(struct box *receiver, int64_t *expected);
bool post_is_cut_off(const struct box *receiver);
/* Why the receiver's node is away; "": it isn't. Caller frees. */
char *post_far_absence(const struct box *receiver);
/* The entry's sender is told that the envelope waits, and why, when the receiver's node is away. */
void post_defer(struct index_entry *entry);
/* The envelope is to be sent: its copy is durable in FOLDER_SENT. */
void post_publish(struct index_entry *entry, const struct envelope *envelope, bool again);
/* True: an earlier envelope of the sender could not be written, and waits again; this one, whose copy is written, goes
 * behind it. */
bool post_stays_behind(struct index_entry *entry);
/* How many envelopes of one sender may travel to the receiver at once: one at first, one more for each verdict, one again
 * after ten seconds without any. A node that dies with envelopes keeps them past their time, so only a node that answers
 * is sent many. */
int64_t post_far_pace(const struct box *receiver);
void post_far_paces(struct box *receiver); /* a verdict came */
/* An envelope that was sent before goes as it was sent then, or later, when its copy can't be read now. False: it wasn't
 * sent. */
bool post_sends_again(struct index_entry *entry);
/* An envelope of the sender's is on its way now; goes: or isn't. */
void post_travels(struct box *sender, bool goes, int64_t *expected, bool counts);
/* Each envelope names the one ahead of it that travels between the same two agents, and is taken there behind that one
 * only. An envelope that came back goes alone, and none overtakes it: so order is kept whatever is lost. */
bool post_is_held_up(const struct index_entry *entry);
/* Sets the time of the pump's next step by the clock; began_ms: the pump's begin, clock_monotonic_ms. */
void post_far_alarm(struct box *receiver, int64_t began_ms);
/* Adds an entry for a file in the box's FOLDER_SENT that is in no outbox: a bounce, or an envelope that was taken out
 * there. */
void post_owes(struct box *box, struct box *receiver, const struct envelope *envelope);
void post_far_asks_later(struct index_entry *entry);
/* The receiver's node may have lost everything, or is another. */
void post_travels_again(struct box *receiver);

/* start.c: takes up a fresh box, once the post office has started; else does nothing */
void post_take_up(struct box *box);

/* queued_tasks.c: tasks of queue.md that expire while their agent has no process */
void post_tasks_look(struct box *box);
void post_tasks_scan(struct box *box); /* the same, but not of an agent that hibernates */
void post_tasks_forget(struct box *box);
