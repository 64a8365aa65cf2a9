/* All questions to models: whose turn it is, which provider is asked, when a question is asked again, how it ended.
 *
 * Each ASK gets exactly one ANSWER, unless it is forgotten or given back. Before that, the gateway tells of each request
 * that went out for the ASK with a SPENT; another request goes out when AGAIN has come. Agents take turns, and one
 * agent's questions are asked in order, so nobody holds up the others. A question that waits (for a retry, or because
 * its provider limits everybody) takes no place among those under way. */
#pragma once

#include <stdint.h>

#include "supervisor/gateway/client.h"
#include "supervisor/gateway/keys.h"
#include "supervisor/process/report.h"

enum { DESK_PER_AGENT_MAX = 16 /* questions of one agent at once; more are answered PASSING */ };

struct scheduler_setup { /* all borrowed */
    const struct keys *keys;
    struct loop *loop;
    struct client *client;
    struct report *report; /* gets ANSWER, SPENT, WAITING, ROOM, LEARNED, PROVIDER */
    unsigned concurrency;  /* requests under way at once; at least 1 */
};

struct scheduler;
struct scheduler *scheduler_open(const struct scheduler_setup *setup);
void scheduler_close(
    struct scheduler *scheduler); /* buffers with keys are overwritten, before the process ends */

/* Texts are taken. least: the prompt can't be made smaller. */
void scheduler_ask(struct scheduler *scheduler, uint64_t serial, char *agent, char *system, char *task,
                   bool least);
/* The next request of a question that waits for leave may go out. */
void scheduler_again(struct scheduler *scheduler, uint64_t serial, const char *agent);
void scheduler_forget(struct scheduler *scheduler, uint64_t serial, const char *agent);

/* No provider of this agent is held back any more, and questions that wait for a retry are asked now, or when their
 * leave comes. */
void scheduler_retry(struct scheduler *scheduler, const char *agent);

/* An earlier gateway's lessons about a base URL and model. */
void scheduler_recall(struct scheduler *scheduler, const char *url, const char *model, const char *text);

void scheduler_drain(struct scheduler *scheduler); /* no further request goes out */
/* No request is under way: every question left goes back to the supervisor, which would else count a request for it. */
void scheduler_give_back(struct scheduler *scheduler);
