/* Whether this node may begin an agent anew that has no directory here and no key in the bus's bucket (contract section
 * 12). Either the agent is new, or its bucket was lost while the node that has its directory is away. Where
 * AGENTOS_GIT_REMOTE is set, the remote is asked first: an agent whose branch is there is not begun anew. While the remote
 * can't be asked, only an agent begins that agents.yaml has on this node, for no other node can have its directory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/nodes/mirror_link.h"

struct lease;

struct founding {
    enum {
        FOUNDING_UNKNOWN,
        FOUNDING_FREE,
        FOUNDING_HAS_BRANCH,
        FOUNDING_SILENT
    } answer;           /* the remote's last one */
    char *why;          /* FOUNDING_SILENT; owned */
    unsigned asked;     /* the agentos-mirror (mirror_link_process) that owes an answer; 0: none */
    int64_t asked_at;   /* clock_boot_ms, of the last question */
    int64_t answers_of; /* and of the question that the answer belongs to */
    unsigned tries;     /* questions without FOUNDING_FREE */
    bool pinned;        /* agents.yaml has the agent on this node */
};

void founding_free(struct founding *founding); /* the fields */
/* An answer counts for as long as the node has seen the key missing without a pause. Always true for an agent that has a
 * key, or lives here. */
bool founding_is_allowed(const struct founding *founding, const struct lease *lease);
/* For an agent without a directory that may live here: asks the remote where an answer is needed, once it is nearly time
 * to begin the agent, and again and again until the answer lets it begin. mirror NULL: agentos-mirror can't be started. */
void founding_ask(struct founding *founding, const struct lease *lease, struct mirror_link *mirror,
                  const char *agent, mirror_looked *looked, void *context, int64_t now);
void founding_hear(struct founding *founding, const char *agent, enum mirror_branch branch, const char *text);
/* Why an agent without a directory isn't begun here; NULL: for no reason of its last node's or of the remote's. Caller
 * frees. */
char *founding_why_not(const struct founding *founding, const struct lease *lease, const char *agent);
