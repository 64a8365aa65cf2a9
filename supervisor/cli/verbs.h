/* Every verb of `agentos` in one table: its usage, its purpose, its function. */
#pragma once

#include "common/buffer.h"
#include "supervisor/cli/terminal/invocation.h"

extern const struct verb VERBS[]; /* the last row has no name */

void verbs_help(struct buffer *out);                             /* agentos --help */
void verbs_help_of(const struct verb *verb, struct buffer *out); /* agentos VERB --help */
void verbs_version(struct buffer *out);                          /* agentos --version */

/* The functions of this room's verbs (the other rooms have headers of their own); each returns the exit code. The
 * verbs above the line work without a supervisor. */
int verb_answer(struct invocation *invocation);
int verb_check(struct invocation *invocation);
int verb_demo(struct invocation *invocation);
int verb_doctor(struct invocation *invocation);
int verb_exec(struct invocation *invocation);
int verb_git(struct invocation *invocation);
int verb_help(struct invocation *invocation);
int verb_init(struct invocation *invocation);
int verb_version(struct invocation *invocation);
/* ---- */
int verb_status(struct invocation *invocation);
int verb_order(struct invocation *invocation); /* start stop restart kill pause resume */
int verb_reload(struct invocation *invocation);
int verb_retry(struct invocation *invocation);
int verb_task(struct invocation *invocation);
int verb_cancel(struct invocation *invocation);
int verb_send(struct invocation *invocation);
int verb_enqueue(struct invocation *invocation);
int verb_dead_letter(struct invocation *invocation); /* requeue purge */
int verb_events(struct invocation *invocation);
int verb_move(struct invocation *invocation);
int verb_rollback(struct invocation *invocation);
