/* The choice of the envelopes of a list: among the files, and among envelopes that left the work trees. */
#pragma once

#include "supervisor/listings/envelope_scan.h"

/* The end of a page: the next one begins behind this envelope. */
struct envelope_mark {
    int64_t created;
    const char *owner, *id;
};

struct envelope_choice {
    const char *data_dir;
    const char *agent; /* of envelopes that it has, sent or gets; NULL: any, as status and owner */
    const char *owner; /* the copy's: an agent, or a queue */
    const char *status;
    unsigned kinds; /* 1u << enum envelope_kind, together; 0: any */
    int place;      /* PLACE_COUNT: any place, and each envelope once, by the copy that knows most */
    const struct envelope_mark *after;      /* NULL: from the newest on */
    size_t most;                            /* the number of wanted envelopes; SIZE_MAX: all */
    void (*complain)(const char *sentence); /* of a repository that can't be read */
    void (*looked)(size_t files);           /* NULL: nobody is told of the files that are read */

    /* Chosen, the newest first, and more than `most` where there are more: */
    const struct copy **list;
    size_t count;
    /* Agents in whose git alone some of the wanted envelopes may lie: */
    char **owners;
    size_t owner_count;
    /* The choice's own fields: */
    struct envelope_scan scan;
    int64_t *pruned; /* when envelopes in git alone were created, the newest first */
    size_t pruned_count;
};

/* Chooses among the files and finds the owners; opens no repository. The other fields of `choice` are zero. */
void envelope_choose(struct envelope_choice *choice);
/* Afterwards, where the owners' repositories may be read: takes the envelopes that lie there into the list. */
void envelope_choose_pruned(struct envelope_choice *choice);
void envelope_choice_free(struct envelope_choice *choice);

struct envelope_mark envelope_mark_of(const struct copy *copy); /* borrowed from the copy */
