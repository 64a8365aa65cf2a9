/* The control server (common/control.h): every client has a deadline and caps, so that a slow, torn or hostile one
 * holds up nobody. */
#ifndef AGENTOS_SUPERVISOR_CONTROL_CONTROL_H
#define AGENTOS_SUPERVISOR_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/fault.h"
#include "supervisor/agent/detail.h"
#include "supervisor/agent/lifecycle.h"

struct agent;
struct control;
struct supervisor;

enum {
    CLIENTS_MAX = 128,
    CLIENTS_ADOPTED = 96,
    FOLLOWERS_MAX = 64,     /* of them */
    REQUEST_MS = 10 * 1000, /* for a request to come, the first or the next one */
    ANSWER_MS = 30 * 1000,  /* for the answer to be read */
};

/* Listens at RUN_DIR/control. NULL and fault. */
struct control *control_open(struct supervisor *supervisor, int run_folder, struct fault *fault);
void control_close(struct control *control); /* NULL is fine */

/* One more client: its end of a stream socket (taken over), as if it had connected. False: there are CLIENTS_ADOPTED
 * already, of any sort: the process that strangers speak to can't take the place of those at the socket. */
bool control_adopt(struct control *control, int fd);

/* News for those who wait; control may be NULL. */
void control_agent_changed(struct control *control, struct agent *agent);
void control_agent_idle(struct control *control,
                        struct agent *agent); /* its worker says that nothing is left */
void control_agent_gone(struct control *control, struct agent *agent); /* it is about to be freed */
void control_task_finished(struct control *control, struct agent *agent, const char *task, int reward,
                           const char *commit, const char *end);
void control_task_held(struct control *control, struct agent *agent, const char *task, const char *why);
void control_task_cancelled(struct control *control, struct agent *agent, uint64_t serial, bool done);
void control_rolled_back(struct control *control, struct agent *agent, uint64_t serial, int exit,
                         const char *text);
/* What somebody sent or enqueued with this ticket is durable, and has this id; or it isn't: why. */
void control_posted(struct control *control, uint64_t ticket, int exit, const char *id, const char *why);

/* Something has happened: everybody who follows gets a line (common/control.h). control and agent may be NULL. Costs
 * next to nothing while nobody follows. */
void control_tell(struct control *control, const struct agent *agent, const char *event,
                  const struct detail *details);
#define control_event(control, agent, event, ...)                                                            \
    control_tell(control, agent, event, (const struct detail[]){__VA_ARGS__, {.key = NULL}})
bool control_followed(const struct control *control);
/* --- for verbs.c --- */

enum waiting_for {
    WAIT_NOTHING,
    WAIT_ORDER,
    WAIT_TASK,
    WAIT_CANCEL,
    WAIT_ROLLBACK,
    WAIT_POSTED,
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

struct client;

struct waiter *client_waiter(struct client *client);
bool client_follow(
    struct client *client); /* every event from now on; false: there are FOLLOWERS_MAX already */
/* One line of answer. more: NULL or an object whose keys are added; its reference is taken. */
void client_say(struct client *client, int exit, json_t *more);
void client_complain(struct client *client, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* verbs.c: answers, or sets the waiter. */
void verbs_answer(struct supervisor *supervisor, struct client *client, const json_t *request);
/* Ask the worker to roll back when it is up. 1 asked, 0 not yet, -1 it won't come up by itself (why: in fault). */
int verbs_send_rollback(struct waiter *waiter, struct fault *fault);
/* Whether an order is carried out: 1 yes, 0 not yet, -1 it won't be (why: a sentence in fault). */
int verbs_order_state(const struct waiter *waiter, struct fault *fault);

/* status.c: the object of contract section 1; agent NULL: all. */
json_t *status_object(const struct supervisor *supervisor, const struct agent *agent);
/* metrics.c: the object of `metrics` (common/control.h). */
json_t *metrics_object(const struct supervisor *supervisor);

#endif
