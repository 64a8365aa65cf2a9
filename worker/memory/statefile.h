/* One of the files that an agent's learning lies in (skills.md, goals.md …), as last seen on disk. People edit the file
 * while the worker runs, so every look compares stamps first, and contents where a stamp can't tell. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/files.h"

enum {
    STATE_FILE_MAX = 256 * 1024,         /* bytes; ten times what our own caps can fill */
    STATE_SALVAGE_MAX = 8 * 1024 * 1024, /* bytes of a larger file that are still looked through */
    STATE_ENTRY_MAX = 8 * 1024,          /* bytes of one entry that survive a salvage */
};

/* Zero-initialise but for path. */
struct statefile {
    const char *path;        /* static */
    struct file_stamp stamp; /* of what `known` was read from or written as */
    bool seen;               /* known and stamp say something */
    bool fresh;              /* the stamp is so young that a later change could leave it as it is */
    /* inode of the file that was linked aside, while it still stands here, too; 0: none */
    uint64_t aside;
    bool blocked;          /* the file can neither be read nor set aside: it must not be written */
    char *known, *pending; /* owned: the text on disk; the text of a commit under way (NULL: none) */
    size_t known_length, pending_length;
    char *problem; /* owned; the present trouble as a sentence, NULL: none */
};

enum statefile_news {
    STATEFILE_SAME,
    STATEFILE_CHANGED, /* known is what counts now ("" when there is no file) */
    /* the text has changed, and the file was set aside: cut a text that is too long, then statefile_mend */
    STATEFILE_SALVAGED,
};

/* A file that can't be read as text (no regular file, not UTF-8, over STATE_FILE_MAX) is set aside as
 * NAME.unreadable-TIME beside its place: linked there first, so that neither a crash nor a full disk can lose it. The
 * file's readable part counts, else its last known text. A passing fault (too many open files …) leaves the file where
 * it is, blocked, to be tried again at the next look. */
enum statefile_news statefile_look(struct statefile *file, int tree);
/* The same for a caller that only reads: a file that has the stamp of our own write of this very moment counts as that
 * write. The next look finds a change that no stamp tells from it, at the latest before the file is written. */
enum statefile_news statefile_glance(struct statefile *file, int tree);
/* The file's text, borrowed, if it has the stamp now. NULL: it is to be read, since the text isn't known, or the stamp
 * was young when it was taken and would show a change by now. sure: false while a change could hide behind the stamp. */
const char *statefile_text(const struct statefile *file, const struct file_stamp *now, size_t *length,
                           bool *sure);
/* Put a whole file in the place of the file that was set aside. */
void statefile_mend(struct statefile *file, int tree, const char *text, size_t length);

/* The text that a commit will write. False: no write is needed: the text stands there already, or the file is
 * blocked. */
bool statefile_propose(struct statefile *file, struct buffer *text);
void statefile_kept(struct statefile *file, int tree); /* the commit is in the work tree */
/* the text is not committed: read the file again at the next look */
void statefile_forget(struct statefile *file);
void statefile_free(struct statefile *file);

/* Files NAME.unreadable-TIME in the tree's top, a line each for status, until somebody takes them away. */
void statefile_report_aside(int tree, struct buffer *problems);
