/* Auditors: short-lived processes, each of which judges one finished task (contract section 8).
 *
 * A worker can start nothing, so it asks: AUDIT with the case as JSON. The case goes to the standard input of
 * agentos-audit, which confines itself and judges by its own rules, or becomes the operator's checker; its output
 * goes back unread, for the worker to read in its sandbox. AUDITS_AT_ONCE run side by side, others wait their turn.
 *
 * An auditor may hang, fork, print without end, print nonsense or die: each costs only its own result. After
 * AUDIT_WALL_MS, past AUDIT_OUTPUT_MAX bytes, or when its worker is gone, the auditor is killed with all processes
 * that it started. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/format/roster.h"
#include "common/message.h"
#include "supervisor/process/loop.h"

struct audits;

enum {
    AUDITS_AT_ONCE = 4,
    AUDITS_PER_WORKER = 4,
    AUDITS_WAITING = 1024, /* a further audit is to be asked for again later */
    AUDIT_WALL_MS = 10 * 1000,
    AUDIT_OUTPUT_MAX = 64 * 1024, /* bytes of standard output, and of standard error */
};

struct audits_owner {
    struct loop *loop;
    char *program; /* path of agentos-audit; this and data_dir are borrowed */
    const char *data_dir;
    void (*to_worker)(void *asker, const struct buffer *message);
};

struct audits *audits_new(const struct audits_owner *owner);
/* Kills running auditors. NULL is fine. */
void audits_free(struct audits *audits);

/* AUDIT of a worker. False: the message is malformed, or the worker has AUDITS_PER_WORKER audits already. */
bool audits_ask(struct audits *audits, void *asker, const struct roster_agent *definition,
                struct reader *message);
/* The worker is gone: nobody wants the results of its audits. */
void audits_forget_all(struct audits *audits, const void *asker);

/* pid has ended but is not yet waited for: if it is an auditor's, the processes that it left behind are killed now,
 * while its number is still taken. */
void audits_ended(struct audits *audits, pid_t pid);
/* True: the pid was an auditor's; the auditor has ended with this wait status. */
bool audits_reap(struct audits *audits, pid_t pid, int status);
