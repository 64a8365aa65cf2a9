/* The types and functions that the parts of the scheduler share. No other file includes this header.
 *
 *   scheduler.c  the agents' turns, the choice of a provider, the end of an attempt
 *   ask.c        the questions, and the lists that they stand in by their state
 *   tell.c       messages to the supervisor about a question */
#pragma once

#include <sys/queue.h>

#include "common/message.h"
#include "common/usage.h"
#include "supervisor/gateway/provider.h"
#include "supervisor/gateway/response.h"
#include "supervisor/gateway/scheduler.h"

/* A question that waits stands in no list: its timer rings, AGAIN comes, or it is about to be freed. */
enum ask_state { ASK_WAITING, ASK_QUEUED, ASK_UNDER_WAY };

struct agent;

struct ask {
    struct scheduler *scheduler;
    struct agent *agent;
    uint64_t serial;
    char *system, *task;
    size_t bytes; /* bytes of both texts; least: the worker can't make them fewer */
    bool least;
    enum ask_state state;
    size_t provider; /* in the agent's route */
    /* monotonic: since when this provider is to answer; ASK_WAITING: the wait's end. */
    int64_t asked_ms, until;
    struct timer timer;               /* ASK_WAITING */
    unsigned failures, form, changed; /* of this provider; bits of enum form: of the request, by refusals */
    bool unheard;                     /* asked again once for an old connection */
    bool needs_leave; /* ASK_WAITING for AGAIN, and no timer is set: only AGAIN and ask_free end this wait */
    struct {
        bool sent;  /* the request went out, and SPENT is not told yet */
        bool waits; /* the agent was told so, and of no request since */
        enum spent spent;
        struct usage usage;
    } request;
    struct transfer *transfer; /* ASK_UNDER_WAY */
    char *body;                /* lives as long as the transfer */
    struct buffer faults;      /* of providers that were given up, "; " between */
    enum answer_kind kind;     /* the answer's, should no provider be left */
    int64_t retry_after;       /* ms; the least that a provider asked for; 0: none did */
    TAILQ_ENTRY(ask) link;     /* ASK_QUEUED: in agent->queue */
    LIST_ENTRY(ask) sibling;   /* in agent->asks */
};

struct agent {
    char *name; /* first: the tree finds agents by it */
    struct route *route;
    size_t room; /* for the agent's prompts, as it was told last; 0: not told yet */
    TAILQ_HEAD(, ask) queue;
    LIST_HEAD(, ask) asks;
    unsigned count;
    TAILQ_ENTRY(agent) turn; /* in scheduler->turns while queue isn't empty */
};

struct scheduler {
    struct scheduler_setup setup;
    struct providers *providers;
    void *agents; /* tsearch tree by name */
    TAILQ_HEAD(, agent) turns;
    unsigned under_way;
};

/* ask.c */

/* Agents stay known after their first question: there are as many as the supervisor has, and their routes are worth
 * keeping. Takes name. */
struct agent *ask_agent(struct scheduler *scheduler, char *name);
struct ask *ask_find(struct agent *agent, uint64_t serial); /* NULL: there is none */
struct provider *ask_provider_of(const struct ask *ask);    /* the provider that is asked now */
/* ASK_WAITING from whatever state: the next call is ask_queue_up or ask_wait, or the question becomes ASK_UNDER_WAY
 * or goes by ask_free. */
void ask_leave(struct ask *ask);
void ask_queue_up(struct ask *ask, bool first);
void ask_wait(struct ask *ask, int64_t until);
void ask_free(struct ask *ask); /* the question leaves its state's list, and is freed */

/* tell.c */

/* Text that leaves this process has no key in it, whoever wrote it. Caller frees. */
char *tell_masked(const struct scheduler *scheduler, const char *text);
/* Tells the cost of the request that went out last; again: the question waits for leave to send another one. */
void tell_spent(struct ask *ask, bool again);
/* The question's next request was not sent, and won't be: the gateway ends. The question is freed by the caller. */
void tell_unsent(const struct ask *ask);
/* response: NULL where there is none to speak of. The question is freed by the caller. */
void tell_answer(struct ask *ask, enum answer_kind kind, const char *text, const struct response *response,
                 const char *provider);
/* A request has failed, and not by a fault of its own; or an answer has come, which is told after failures only. */
void tell_provider(const struct ask *ask, bool answers, const char *text);
/* Tells the supervisor the state of the service, where that is news. */
void tell_learned(const struct scheduler *scheduler, struct service *service);
void tell_waiting(struct ask *ask, int64_t milliseconds, const char *sentence);
/* A request has gone out: the agent that was told of a wait is told that it is over. */
void tell_asked(struct ask *ask);
