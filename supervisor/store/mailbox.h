/* The files of an agent's iac/ for the supervisor: always by the path from DATA_DIR, beneath it, following no link,
 * so that a tree that was moved away or planted with links leads nowhere; reading capped and never blocking.
 *
 * The agent called "operator" has FOLDER_OUTBOX, shared/outbox/, and FOLDER_DEAD_LETTERS, shared/dead-letter/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"
#include "common/files.h"
#include "common/format/envelope.h"
#include "supervisor/store/batch.h"

enum folder {
    FOLDER_INBOX,
    FOLDER_HANDOFFS,
    FOLDER_OUTBOX,
    FOLDER_ARCHIVE,
    FOLDER_DEAD_LETTERS,
    FOLDER_COUNT,
    /* shared/bus/AGENT/, no part of the tree: envelopes that this node has sent to others for the agent, as they were
     * sent, and still owes them. */
    FOLDER_SENT = FOLDER_COUNT
};
#define MAILBOX_SENT "shared/bus"

/* The folders as bits, for an id that lies in several of them. */
enum post_place {
    POST_INBOX = 1 << FOLDER_INBOX,
    POST_HANDOFFS = 1 << FOLDER_HANDOFFS,
    POST_OUTBOX = 1 << FOLDER_OUTBOX,
    POST_ARCHIVE = 1 << FOLDER_ARCHIVE,
    POST_DEAD_LETTER = 1 << FOLDER_DEAD_LETTERS
};

/* The name of people as senders; roster.c allows no agent of that name. */
#define POST_OPERATOR "operator"

enum { MAILBOX_NAMES_MAX = 16384 /* files of a folder that are looked at in one go */ };

const char *mailbox_folder_name(enum folder folder); /* "iac/inbox" */

/* The folder's descriptor; create: the folder and those above it are made when missing. -1 and errno. */
int mailbox_open(int data, const char *agent, enum folder folder, bool create);

enum mailbox_found {
    MAILBOX_READ,
    MAILBOX_GONE,
    MAILBOX_NONE, /* the file is no envelope of this id, and never will be as it is: fault says why */
    MAILBOX_LATER /* the file can't be read now: fault */
};
/* Reads ID.md. With MAILBOX_READ the envelope is the caller's to free, and its id is the file's name. stamp may be
 * NULL. */
enum mailbox_found mailbox_read(int data, const char *agent, enum folder folder, const char *id,
                                struct envelope *envelope, struct file_stamp *stamp, struct fault *fault);
/* The folders that have a regular file ID.md: bits 1 << folder. */
unsigned mailbox_lies(int data, const char *agent, const char *id);
/* Only these folders. */
unsigned mailbox_lies_in(int data, const char *agent, const char *id, unsigned folders);

struct mailbox_names { /* zeroed at first; mailbox_names_free it */
    char **ids;        /* sorted; names that end in .md and could be an id, without the .md */
    size_t count;
    bool whole;  /* no name was left out: not too many, and the folder could be read */
    bool strays; /* there are names that could be no envelope's (names_stray) */
    bool failed; /* the folder could not be read to its end: look again though nothing has changed */
    struct file_stamp stamp; /* of the folder, before its names were read; all zero: a missing folder */
    struct listing *listing; /* which holds the folder open: listing_folder; NULL: a missing folder */
};
/* False: the folder can't be read (errno); a missing folder is empty. The names, the stamp and the descriptor are of
 * one folder, though another one takes its place meanwhile. */
bool mailbox_list(int data, const char *agent, enum folder folder, struct mailbox_names *names);
void mailbox_names_free(struct mailbox_names *names);
#define OWNED_NAMES __attribute__((cleanup(mailbox_names_free)))
/* Calls see with the id of every file in these folders (bits of enum post_place). False: a folder can't be read to
 * its end. */
bool mailbox_each(int data, const char *agent, unsigned folders, void (*see)(void *context, const char *id),
                  void *context);
/* The folder's own stamp; all zero: it isn't there. */
struct file_stamp mailbox_stamp(int data, const char *agent, enum folder folder);
/* The stamps of all of an agent's folders at once, by FOLDER_…, but its archive's; not the operator's. */
void mailbox_stamps(int data, const char *agent, struct file_stamp stamps[FOLDER_COUNT]);
/* The stamps of some of the agent's folders (bits 1 << FOLDER_…), the other stamps stay. Cheaper, and for a tree
 * whose iac/ is no link: such a link would be followed. */
void mailbox_stamps_by_path(int data, const char *agent, unsigned folders,
                            struct file_stamp stamps[FOLDER_COUNT]);
/* Removes files that batch_flush left unfinished at a crash. */
void mailbox_tidy(int data, const char *agent, enum folder folder);

/* Moves ID.md from one folder of the agent to another; a file of that name stays and is EEXIST. Not durable. False
 * and errno. */
bool mailbox_move(int data, const char *agent, enum folder from, enum folder to, const char *id);
bool mailbox_remove(int data, const char *agent, enum folder folder, const char *id); /* false and errno */

/* --- durable writes --- */

/* Adds a write to the batch: the envelope as it is now becomes ID.md in the folder (batch_add). */
size_t mailbox_add(struct batch *batch, const char *agent, enum folder folder,
                   const struct envelope *envelope, bool replace);
/* A durable write of one envelope by itself. */
enum write_result mailbox_write(int data, const char *agent, enum folder folder,
                                const struct envelope *envelope, bool replace, struct fault *fault);
/* The file is on disk when this is true: for a file that an earlier, failed flush may have left. */
bool mailbox_sync(int data, const char *agent, enum folder folder, const char *id);
