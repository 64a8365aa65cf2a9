/* The client's side of the control socket (common/control.h). */
#pragma once

#include <jansson.h>

#include "supervisor/cli/terminal/invocation.h"

struct client;

/* Sends one request (stolen) to the supervisor of this data directory. NULL: a complaint is on standard error, and
 * *status is the exit code. */
struct client *client_ask(const struct invocation *invocation, json_t *request, int *status);
/* The next line of the answer; caller decrefs. patience: seconds to wait, 0 = without end. NULL: there is none, a
 * complaint was printed, *status is set. An answer with "exit" != 0 is handed out too, after its complaint was
 * printed; *status is always its "exit". */
json_t *client_answer(struct client *client, int patience, int *status);
/* Whether the next line is here, or none will come; waits for it for so many milliseconds. */
bool client_ready(struct client *client, int milliseconds);
/* As client_answer, for answers that go on (events): the next line, however long it takes; NULL: the supervisor has
 * ended. Prints nothing. */
json_t *client_next(struct client *client);
void client_close(struct client *client);

/* Asks, takes one answer, closes. */
json_t *client_call(const struct invocation *invocation, json_t *request, int patience, int *status);

enum { CLIENT_PATIENCE = 30 };

/* For verbs that read files, and need no supervisor: the answer where a supervisor says that all is well, else NULL,
 * and nothing is printed. The request is stolen. */
json_t *client_consult(const struct invocation *invocation, json_t *request);
/* The other nodes' answers to this request to agentos-reader (the verb `nodes`, common/control.h); read is stolen,
 * and nothing is printed. */
json_t *client_nodes(const struct invocation *invocation, json_t *read);

/* Prints "said" of an answer, a text of several lines, where there is one. */
void client_show_said(const json_t *answer);

/* Whether there is a supervisor on this data directory. Prints nothing. */
bool client_reaches(const struct invocation *invocation);
