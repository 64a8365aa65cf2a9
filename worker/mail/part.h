/* The declarations that the files of the post share; no other file needs this header. */
#pragma once

#include "worker/mail/mail.h"

extern const char *const mail_folders[MAIL_PLACES];

/* A decision about an envelope of ours, or about an envelope that waits in our outbox. */
struct verdict {
    char *id, *status, *reason;
    int64_t at;
    bool later; /* its envelope can't be read now: the next commit tries again */
};

/* An envelope of ours of which the next prompt tells: refused, or held back until there is room. */
struct telling {
    char *id, *text;
    bool refused; /* else deferred */
    bool shown;   /* the prompt that is out tells of it */
};

/* A dead letter about which nothing more is to be done. */
struct known_letter {
    uint64_t name; /* its hash */
    struct file_stamp stamp;
};

struct mail {
    int tree; /* borrowed */
    char *agent;
    struct history *history; /* borrowed */
    struct letter *letters;
    size_t count;
    struct file_stamp looked[MAIL_PLACES]; /* the folders' own, as of the last look */
    bool unsettled;                        /* a file of them was being written at the last look */
    bool closed;                           /* a file of them may not be read, and is tried again */
    int64_t failing_ms; /* the time since which looks have failed, by the monotonic clock; 0: they don't */
    struct verdict *verdicts;
    size_t verdict_count;
    struct telling *tellings;
    size_t telling_count;
    unsigned marks;             /* files prepared for an exchange so far */
    struct known_letter *known; /* sorted */
    size_t known_count;
    struct file_stamp dead; /* of iac/dead-letter at the last pass; zero: look again */
    bool dead_failing;      /* not all of the folder could be read then: it is looked into again */
    bool full;              /* results and bounces are work, too, until none is left */
    bool dead_changed;      /* the folder has changed since git was asked which of its files it tracks */
};

/* Always false; fault names the size and the limit. */
bool mail_too_large(struct fault *fault, size_t size);
/* White space alone; text ends in a NUL. True: fault says so. */
bool mail_is_blank(const char *text, size_t length, struct fault *fault);
/* 1 read, 0 not there, -1 and fault: the file can't be read now, -2 and fault: the file is no envelope of that name. */
int mail_load(int folder, const char *id, const char *path, struct envelope *envelope, char **text,
              size_t *length, struct file_stamp *stamp, struct fault *fault);
/* Makes an envelope from the operator of a person's plain text, and gives its id, which the caller frees. NULL: the file
 * is as it was but for its name, and fault says why, or is as it was where the file was meant as an envelope. */
char *mail_take_text(const struct mail *mail, int folder, enum mail_place place, const char *file,
                     struct fault *fault);
/* One of our own folders' envelopes: iac/archive, outbox, dead-letter. 1 read, 0 not there or no envelope, -1 the file
 * can't be read now. */
int mail_own(const struct mail *mail, const char *folder, const char *id, struct envelope *envelope);
/* Of the first line, with "…" when there is more. Caller frees. */
char *mail_first_words(const char *body, size_t limit);
void mail_untell(struct mail *mail, const char *id);
