/* The post in an agent's tree (contract section 9): the envelopes in iac/inbox and iac/handoffs that are to be done and
 * read, and the supervisor's verdicts on the envelopes in iac/outbox. The post knows files and the ledger, not the
 * model and not the supervisor.
 *
 * The writers: the supervisor adds files to inbox and handoffs and takes expired ones away; people may do anything; the
 * rest is the worker's. So the worker relies on no look of a moment ago: every step either finds the file as it was, or
 * the file isn't its work any more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "worker/history/history.h"
#include "worker/memory/learning.h" /* struct change_list */

enum mail_place { MAIL_INBOX, MAIL_HANDOFFS, MAIL_PLACES };

/* An envelope that waits, as of the last look. */
struct letter {
    struct envelope head; /* without its body */
    uint64_t hash;        /* over id, created and body: the ledger knows the envelope by this hash */
    enum mail_place place;
    struct file_stamp stamp;
    bool held; /* earlier envelopes may be unseen: this one is no work yet */
    bool kept; /* only while looking: the envelope is in the new list */
};

struct mail;

/* tree and history are borrowed. Reads nothing yet. Never NULL. */
struct mail *mail_open(int tree, const char *agent, struct history *history);
void mail_close(struct mail *mail); /* NULL is fine */

/* An envelope that has come to its end here already (the ledger or the archive knows it) and lay there again; the copy
 * was removed. status: "finished", "read" or "failed"; commit: "" not known. */
typedef void (*mail_over)(void *context, const char *id, const char *status, const char *commit);

/* The envelopes in both folders now. A file that is no valid envelope, or isn't named after its id, is renamed to
 * NAME.md.unreadable-TIME in its folder; problems gets a line for each of those, as long as they lie there. Where the
 * storage fails: problems gets a line, a known envelope stays as long as no other fact is learnt about it, and
 * mail_next offers no new one, because an older one may be unseen; but after ten seconds of looks that fail, the
 * readable envelopes are work. */
void mail_look(struct mail *mail, struct buffer *problems, mail_over over, void *context);
/* Files came or went since: cheap (two stats). A file that came within the clock's tick of the look is not seen. */
bool mail_changed(const struct mail *mail);
/* A file was still being written, or not all files could be seen: there may be more envelopes than were found. A file
 * whose mode lets nobody read it is none of them: no waiting changes that. */
bool mail_unsettled(const struct mail *mail);
/* When the next look is due, from now: because of such a file, or because the mail is unsettled; 0: no look is due. */
int64_t mail_again_ms(const struct mail *mail);
/* No envelope is to be done, read, told or recorded. */
bool mail_silent(const struct mail *mail);
/* The next envelope to work at: handoffs, items and messages by priority, then by age. Expired envelopes are the
 * supervisor's and don't count, but envelopes that were begun in time and left by a crash do. Held ones don't
 * count. skip(context, letter) true: not this one. */
const struct letter *mail_next(struct mail *mail, int64_t now, bool (*skip)(void *, const struct letter *),
                               void *context);
/* The supervisor lets no more results in: from now on they are next where nothing else is, until all are read. */
void mail_is_full(struct mail *mail);
const struct letter *mail_find(const struct mail *mail, const char *id);
bool mail_expired(const struct envelope *envelope, int64_t now); /* and wasn't begun in time */
uint64_t mail_hash(const struct envelope *envelope);             /* with its body */

/* --- in_hand.c: the envelopes in hand --- */

/* An envelope that is being worked at or read. */
struct opened_envelope {
    struct envelope envelope; /* whole */
    uint64_t hash;
    enum mail_place place;
    char *text; /* the file as it is, so that nothing else is ever removed in its stead */
    size_t length;
    bool marked;  /* the file says `reading` */
    bool counted; /* and one attempt more */
};
void opened_envelope_free(struct opened_envelope *opened);
#define OWNED_OPENED __attribute__((cleanup(opened_envelope_free)))

/* Takes the envelope in hand: status `reading`, `read` is now, and with `attempt` one attempt more, durable before this
 * returns 1. From then on the envelope doesn't expire. 0: the file isn't there any more, or was changed into something
 * else: look again. -1 and fault: the file couldn't be written; it lies there as before. */
int mail_begin(struct mail *mail, const struct letter *letter, int64_t now, bool attempt,
               struct opened_envelope *opened, struct fault *fault);
/* The file as it is, not marked: for what never expires. */
int mail_read(struct mail *mail, const struct letter *letter, struct opened_envelope *opened,
              struct fault *fault);
/* Orderly: as if it had not been begun. */
void mail_put_back(struct mail *mail, struct opened_envelope *opened);
/* False: somebody took it away meanwhile. */
bool mail_is_there(struct mail *mail, const struct opened_envelope *opened);

/* --- ends.c: the changes of a commit; the archive's file first, then the removal, so that an envelope is always in at
 * least one place --- */

/* The story of a finished one: the task and, when there is one, the answer to it. section: "" for none. */
void mail_archive(const struct mail *mail, const struct opened_envelope *opened, const char *status,
                  int64_t now, const char *section, struct change_list *changes);
void mail_bury(const struct mail *mail, const struct opened_envelope *opened, const char *reason, int64_t now,
               struct change_list *changes);
/* Appends an envelope as a file; an envelope over ENVELOPE_FILE_MAX gets its body cut, with a note at its end. */
void mail_print(const struct envelope *envelope, struct buffer *out);

/* Final dead letters that the supervisor laid there and that the ledger doesn't know: calls visit for each with the
 * file's text. visit false: the dead letter could not be recorded now, stop. A file that can't be read now is unsettled
 * (mail_again_ms). */
bool mail_escalations(struct mail *mail,
                      bool (*visit)(void *context, const struct envelope *envelope, uint64_t hash,
                                    const char *path, const char *text, size_t length),
                      void *context);
/* Dead letters that git tracks and that are gone from their folder: put on their way again or thrown away. */
void mail_gone_letters(struct mail *mail, struct change_list *changes);

/* --- verdicts.c: verdicts on the envelopes that were sent --- */

/* Takes note of a VERDICT; the next commit carries it out. */
void mail_verdict(struct mail *mail, const char *id, const char *status, const char *reason, int64_t at);
size_t mail_verdicts(const struct mail *mail); /* how many wait for a commit */
/* The changes of all that wait. refused gets a sentence for each that was refused (for the reflection), note a line for each
 * (for the commit's body). */
void mail_verdict_changes(struct mail *mail, int64_t now, struct change_list *changes, struct buffer *refused,
                          struct buffer *note);
/* The commit is durable. Verdicts whose envelope could not be read for it wait for the next. */
void mail_verdicts_kept(struct mail *mail);
/* Something that we refused ourselves: told like a verdict. */
void mail_refused(struct mail *mail, const struct envelope *envelope, const char *reason);

/* --- worker/cycle/mail_prompt.c --- */

/* The user's message for a piece of work: the operator's words as they are, other agents' fenced and labelled. */
void mail_task_text(const struct opened_envelope *opened, struct buffer *out);

/* The envelopes that are read along with a piece of work. */
struct bundle {
    struct opened_envelope *items;
    size_t count;
};
/* {{messages}}: unread messages, results and bounces, oldest first, within budget bytes; the ends of our own envelopes.
 * The work itself (id, may be NULL) is left out. Envelopes that can expire are marked as being read. Envelopes that
 * don't fit stay unread. */
void mail_gather(struct mail *mail, const char *work, int64_t now, size_t budget, struct bundle *bundle,
                 struct buffer *out);
void bundle_free(struct bundle *bundle);
void mail_told(struct mail *mail); /* the refusals that the last gather showed are committed as told */
