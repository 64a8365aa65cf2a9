/* The control server from within: what its files share. Nobody else includes this. */
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
    WAIT_LISTING, /* its answer is being made (listing.c) */
    WAIT_EVENTS
};

/* What a client waits for. */
struct waiter {
    enum waiting_for what;
    struct agent *agent;
    enum life_event order;
    uint64_t generation; /* of the agent when it began to wait */
    uint64_t
        serial; /* of CANCEL or ROLLBACK; 0: not sent yet, its worker is on its way; POSTED: the ticket */
    char *task; /* or, for ROLLBACK, the commit; owned */
};

typedef json_t *listing_describe(const struct control_owner *owner, const struct agent *agent);

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_watch *watch;
    struct timer deadline;
    uint32_t events;  /* that are watched for */
    struct buffer in; /* of requests that aren't answered yet: one that isn't whole, or several */
    struct buffer out;
    size_t out_done;
    bool busy; /* a request is being answered, or is waited for */
    bool deaf; /* it has sent more meanwhile, which is not read before the answer is */
    bool half; /* it has closed its writing side */
    bool ends; /* nothing more is read of it */
    struct waiter waiter;
    struct {
        listing_describe *describe;
        size_t next; /* agent, by its place */
        bool told;   /* of one at least */
        struct timer timer;
    } listing;                    /* listing.c's */
    struct send_queue send_queue; /* of one who follows the events, after out */
};

struct control {
    struct control_owner owner;
    int fd;
    ino_t name; /* of the socket in the run directory */
    struct loop_watch *watch;
    struct client *clients;
    size_t count, followers;
    struct timer rest;     /* until it accepts again */
    char bytes[READ_SIZE]; /* as they come in */
    uint64_t serial;       /* of CANCEL, ROLLBACK and tickets, the last */
    uint64_t items_refused;
    bool starved; /* the last client was turned away for lack of descriptors */
};

/* client.c */
struct waiter *client_waiter(struct client *client);
bool client_follow(
    struct client *client); /* every event from now on; false: there are FOLLOWERS_MAX already */
/* One line of answer. more: NULL or an object whose keys are added; its reference is taken. */
void client_say(struct client *client, int exit, json_t *more);
void client_complain(struct client *client, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* That all is well, and the id, which names_new_id has made: it needs no quoting. Said so often that it is said cheaply. */
void client_say_id(struct client *client, const char *id);
void client_stop_waiting(struct client *client);      /* all is said; it may be freed within */
bool client_has_request(const struct client *client); /* a whole one lies there */
void client_watch_as_due(struct client *client);      /* for what it may do and is told next */
void client_push(struct client *client);              /* sends what it takes; it may be freed within */
void client_empty(struct buffer *buffer);             /* and keeps no more than a little of its memory */
void client_end(struct client *client);               /* it is freed */

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
/* Ask the worker to roll back when it is up. 1 asked, 0 not yet, -1 it won't come up by itself (why: in fault). */
int verbs_send_rollback(struct control *control, struct waiter *waiter, struct fault *fault);
/* Whether an order is carried out: 1 yes, 0 not yet, -1 it won't be (why: a sentence in fault). */
int verbs_order_state(const struct waiter *waiter, struct fault *fault);

/* listing.c: the answer {"exit":0,KEY:{…head…,"agents":[…]}}; head's reference is taken */
void listing_of_one(struct client *client, const char *key, json_t *head, listing_describe *describe,
                    const struct agent *agent);
void listing_of_all(struct client *client, const char *key, json_t *head, listing_describe *describe);
void listing_agent_gone(struct control *control, const struct agent *agent); /* it is about to be freed */

/* status.c: the object of contract section 1 but for its agents, and one of these */
json_t *status_head(const struct control *control);
json_t *status_agent(const struct control_owner *owner, const struct agent *agent);
json_t *status_anywhere(const struct control_owner *owner,
                        const struct agent *agent); /* and on which node it lives */
/* How many problems it says of the agent. */
size_t status_problems(const struct control_owner *owner, const struct agent *agent);
/* metrics.c: the object of `metrics` (common/control.h), likewise */
json_t *metrics_head(const struct control *control);
json_t *metrics_agent(const struct control_owner *owner, const struct agent *agent);
