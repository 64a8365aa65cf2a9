/* The control server (common/control.h): every client has a deadline and caps, so that a slow, torn or hostile client
 * holds up nobody. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "supervisor/agent/detail.h"
#include "supervisor/agent/lifecycle.h"
#include "supervisor/process/loop.h"

struct agent;
struct agents;
struct control;
struct post;
struct queues;

enum {
    CLIENTS_MAX = 128,
    CLIENTS_ADOPTED = 96,
    FOLLOWERS_MAX = 64,     /* of the clients */
    REQUEST_MS = 10 * 1000, /* for a request to come, the first or the next one */
    ANSWER_MS = 30 * 1000,  /* for the answer to be read */
};

/* The control server's surroundings, all borrowed. */
struct control_owner {
    struct loop *loop;
    struct agents *agents;
    struct post *post;
    struct queues *queues;
    const struct budget *budget;
    struct roster *const *roster; /* as it was applied last */
    int data;                     /* descriptor of DATA_DIR */
    int64_t started_at;           /* clock_monotonic_ms: the supervisor's start */
    /* Adds the agent's problems beyond its own, for status, to lines, a line each. */
    void (*problems)(void *context, const char *agent, struct buffer *lines);
    const char *(*config_fault)(void *context); /* why agents.yaml is refused, a sentence; NULL: it isn't */
    /* Problems of no single agent: a line each, added to lines. */
    void (*own_problems)(void *context, struct buffer *lines);
    size_t (*alerts_pending)(void *context);            /* messages of `notify` not delivered yet */
    bool (*reload)(void *context, struct buffer *said); /* agents.yaml is read again; false: refused */
    /* The agent lives on another node: {"node"}, and that node's account of it, a new reference; NULL: here, or
     * nobody knows. */
    json_t *(*far_agent)(void *context, const char *agent);
    /* Puts the request to the other nodes; the answer, a new reference, or NULL: control_told brings it. */
    json_t *(*ask_nodes)(void *context, const json_t *request, uint64_t ticket);
    /* The agent is to be moved to the node, or node NULL: asks after its move. EX_OK and the move's stage, or why it
     * is not done. */
    int (*move)(void *context, struct agent *agent, const char *node, const char **stage,
                struct fault *fault);
    /* The agent is to come from the git remote to this node; lacks gets all its data that the remote does not have.
     * begin false: only asks whether it may. */
    int (*from_remote)(void *context, struct agent *agent, const char *node, bool begin, struct buffer *lacks,
                       struct fault *fault);
    /* Asks the agent's provider now, whatever backoff runs. */
    void (*retry)(void *context, struct agent *agent);
    void *context;
};

/* Listens at RUN_DIR/control. owner is copied. NULL and fault. */
struct control *control_open(const struct control_owner *owner, int run_folder, struct fault *fault);
/* Listens anew where somebody has removed or replaced the socket; connected clients stay. True: the socket was made
 * anew. */
bool control_listen_again(struct control *control, int run_folder, struct fault *fault);
void control_close(struct control *control); /* NULL is fine */

/* Adds a client: its end of a stream socket (taken over), as if it had connected. False: there are CLIENTS_ADOPTED
 * already, of any sort: the process that strangers speak to can't take the place of clients at the socket. */
bool control_adopt(struct control *control, int fd);

/* News for waiting clients; control may be NULL. */
void control_agent_changed(struct control *control, struct agent *agent);
void control_agent_idle(struct control *control,
                        struct agent *agent); /* the agent's worker says that nothing is left */
void control_agent_gone(struct control *control, struct agent *agent); /* the agent is about to be freed */
void control_task_finished(struct control *control, struct agent *agent, const char *task, int reward,
                           const char *commit, const char *end);
void control_task_deferred(struct control *control, struct agent *agent, const char *task, const char *why);
/* The request of this serial, or ticket, is done: text is told under the key (NULL: no text); or it isn't, and text
 * says why. agent: whose worker says so; NULL: the supervisor does. */
void control_answered(struct control *control, const struct agent *agent, uint64_t serial, int exit,
                      const char *key, const char *text);

/* The request of this ticket is answered with all of answer's keys; its reference is taken. */
void control_told(struct control *control, uint64_t ticket, json_t *answer);

/* Something has happened: every follower gets a line (common/control.h). control and agent may be NULL. Costs next to
 * nothing while nobody follows. */
void control_tell(struct control *control, const struct agent *agent, const char *event,
                  const struct detail *details);
#define control_event(control, agent, event, ...)                                                            \
    control_tell(control, agent, event, (const struct detail[]){__VA_ARGS__, {.key = NULL}})
bool control_followed(const struct control *control);

/* An item was refused, because its queue is full: counted for the metrics. */
void control_item_refused(struct control *control);
