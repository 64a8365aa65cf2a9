/* The control server from within: its files share these types and functions. No other file includes this header. */
#pragma once

#include <jansson.h>

#include "common/buffer.h"
#include "supervisor/agent/agent.h"
#include "supervisor/control/control.h"
#include "supervisor/control/send_queue.h"
#include "supervisor/model/budget.h"
#include "supervisor/post/post.h"

enum { READ_SIZE = 64 * 1024 };

enum waiting_for {
    WAIT_NOTHING,
    WAIT_ORDER,
    WAIT_TASK,
    WAIT_CANCEL,
    WAIT_ROLLBACK,
    WAIT_POSTED,
    WAIT_LISTING, /* the answer is being made (listing.c) */
    WAIT_EVENTS
};

/* The event that a client waits for. */
struct waiter {
    enum waiting_for what;
    struct agent *agent;
    enum life_event order;
    uint64_t generation; /* of the agent when the client began to wait */
    uint64_t
        serial; /* of CANCEL or ROLLBACK; 0: not sent yet, the worker is on its way; POSTED: the ticket */
    char *task; /* or, for ROLLBACK, the commit; owned */
};

typedef json_t *listing_describe(const struct control_owner *owner, const struct agent *agent);

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_watch *watch;
    struct timer deadline;
    uint32_t events;  /* events that the loop watches for */
    struct buffer in; /* of requests that aren't answered yet: a part of one, or several */
    struct buffer out;
    size_t out_done;
    bool busy; /* a request is being answered, or is waited for */
    bool deaf; /* the client has sent more meanwhile, which is not read before the answer is */
    bool half; /* the client has closed its writing side */
    bool ends; /* nothing more is read of the client */
    struct waiter waiter;
    struct timer idle; /* waiters.c's: the agent is idle, and the client's task may have been done */
    struct {
        listing_describe *describe;
        size_t next; /* the next agent, by its place */
        bool told;   /* an agent is in the answer already */
        struct timer timer;
    } listing;                    /* listing.c's */
    struct send_queue send_queue; /* of a follower of events, after out */
};

struct control {
    struct control_owner owner;
    int fd;
    ino_t name; /* of the socket in the run directory */
    struct loop_watch *watch;
    struct client *clients;
    size_t count, followers;
    struct timer rest;     /* until the server accepts again */
    char bytes[READ_SIZE]; /* for bytes as they come in */
    uint64_t serial;       /* the last of CANCEL, ROLLBACK and tickets */
    uint64_t items_refused;
    bool starved; /* the last client was turned away for lack of descriptors */
};

/* client.c */
struct waiter *client_waiter(struct client *client);
/* The client gets every event from now on; false: there are FOLLOWERS_MAX already. */
bool client_follow(struct client *client);
/* One line of answer. more: NULL or an object whose keys are added; its reference is taken. */
void client_say(struct client *client, int exit, json_t *more);
void client_complain(struct client *client, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Says success and the id, which names_new_id has made and which needs no quoting. This frequent answer is made
 * cheaply. */
void client_say_id(struct client *client, const char *id);
/* The answer is complete; the client may be freed within. */
void client_stop_waiting(struct client *client);
bool client_has_request(const struct client *client); /* a whole request is here */
void client_watch_as_due(struct client *client);      /* for the reading and the writing that are due next */
/* Sends as much as the socket takes; the client may be freed within. */
void client_push(struct client *client);
/* Empties the buffer, and keeps no more than a little of its memory. */
void client_empty(struct buffer *buffer);
void client_end(struct client *client); /* frees the client */

struct request {
    struct control *control;
    struct client *client;
    const json_t *json;
    struct agent *agent;   /* NULL: none was named */
    enum life_event order; /* of verbs that are orders */
};

static inline const char *request_text(const struct request *request, const char *key) /* NULL: none */
{
    return json_string_value(json_object_get(request->json, key));
}

/* verbs_post.c */
void answer_send(struct request *request);
void answer_enqueue(struct request *request);
void answer_requeue(struct request *request);
void answer_purge(struct request *request);

/* verbs.c: answers, or sets the waiter. */
void verbs_answer(struct control *control, struct client *client, const json_t *request);

/* waiters.c */
/* Asks the worker to roll back when it is up. 1: asked, 0: not yet, -1: the worker won't come up by itself (why: in
 * fault). */
int verbs_send_rollback(struct control *control, struct waiter *waiter, struct fault *fault);
/* Whether an order is carried out: 1: yes, 0: not yet, -1: it won't be (why: a sentence in fault). */
int verbs_order_state(const struct waiter *waiter, struct fault *fault);

/* listing.c: the answer {"exit":0,KEY:{…head…,"agents":[…]}}; head's reference is taken */
void listing_of_one(struct client *client, const char *key, json_t *head, listing_describe *describe,
                    const struct agent *agent);
void listing_of_all(struct client *client, const char *key, json_t *head, listing_describe *describe);
/* The agent is about to be freed. */
void listing_agent_gone(struct control *control, const struct agent *agent);

/* status.c: the object of contract section 1 without its agents, and an agent's object */
json_t *status_head(const struct control *control);
json_t *status_agent(const struct control_owner *owner, const struct agent *agent);
/* The keys that the table of `agentos status` shows; 0 (but of a cost), null and no problem are left
 * out. */
json_t *status_row(const struct control_owner *owner, const struct agent *agent);
json_t *status_anywhere(const struct control_owner *owner,
                        const struct agent *agent); /* with the agent's node */
/* The number of the agent's problems in that object. */
size_t status_problems(const struct control_owner *owner, const struct agent *agent);
/* metrics.c: the object of `metrics` (common/control.h) without its agents, and an agent's object */
json_t *metrics_head(const struct control *control);
json_t *metrics_agent(const struct control_owner *owner, const struct agent *agent);
