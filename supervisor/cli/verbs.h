/* Every verb of `agentos` in one table: how it is called, what it does, who does it. */
#ifndef AGENTOS_CLI_VERBS_H
#define AGENTOS_CLI_VERBS_H

#include <stddef.h>

#include "common/buffer.h"
#include "supervisor/cli/terminal/invocation.h"

struct verb {
    const char *name, *arguments, *summary;
    unsigned options;   /* bits 1u << enum option */
    size_t least, most; /* words behind the verb */
    int (*act)(struct invocation *invocation);
    const char *details; /* NULL: the summary says all */
};

const struct verb *verbs_find(const char *name); /* NULL: there is none */

void verbs_help(struct buffer *out); /* agentos --help */
void verb_help(const struct verb *verb, struct buffer *out);
void verbs_version(struct buffer *out); /* agentos --version */

/* What they do; each returns the exit code. Those above the line work without a supervisor. */
int verb_run(struct invocation *invocation);
int verb_check(struct invocation *invocation);
int verb_demo(struct invocation *invocation);
int verb_doctor(struct invocation *invocation);
int verb_exec(struct invocation *invocation);
int verb_export(struct invocation *invocation);
int verb_import(struct invocation *invocation);
int verb_verify(struct invocation *invocation);
/* ---- */
int verb_status(struct invocation *invocation);
int verb_order(struct invocation *invocation); /* start stop restart kill pause resume reload */
int verb_task(struct invocation *invocation);
int verb_cancel(struct invocation *invocation);
int verb_send(struct invocation *invocation);
int verb_enqueue(struct invocation *invocation);
int verb_handoffs(struct invocation *invocation);
int verb_messages(struct invocation *invocation);
int verb_dead_letters(struct invocation *invocation);
int verb_show(struct invocation *invocation);
int verb_dead_letter(struct invocation *invocation); /* requeue purge */
int verb_locks(struct invocation *invocation);
int verb_queues(struct invocation *invocation);
int verb_segments(struct invocation *invocation);
int verb_skills(struct invocation *invocation);
int verb_rewards(struct invocation *invocation);
int verb_goals(struct invocation *invocation);
int verb_reflections(struct invocation *invocation);
int verb_events(struct invocation *invocation);
int verb_log(struct invocation *invocation);
int verb_rollback(struct invocation *invocation);

#endif
