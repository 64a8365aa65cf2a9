/* Attempts to get out of a worker's sandbox. Each attempt is made twice: outside, where it must work, or it would prove
 * nothing; and inside, where it must fail. */
#ifndef AGENTOS_TESTS_ESCAPE_ATTEMPTS_H
#define AGENTOS_TESTS_ESCAPE_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/sandbox/sandbox.h"

/* The files around the agent orion during the attempts. Paths are absolute. */
struct stage {
    char folder[64];        /* the folder that holds all of them */
    char own[96];           /* orion's tree, with the file `text`, and `way`, a link to iris's persona.md */
    char other[96];         /* iris's tree */
    char persona[160];      /* of iris, with SECRET in it */
    char roster[128];       /* agents.yaml */
    char control[96];       /* a socket that somebody listens on, as the supervisor does */
    char letterbox[96];     /* a datagram socket, in the same place */
    char abstract[64];      /* a name in the abstract space, listened on; the leading NUL is not in it */
    int tcp_port, udp_port; /* on 127.0.0.1, listened on */
    int terminal;           /* descriptor of a terminal that somebody else types at */
    pid_t victim;           /* a process of the same user, with SECRET at the same address as ours */
    pid_t supervisor;
    bool floor; /* inside is as on the oldest kernel that counts */
    enum sandbox_role role;
};

#define SECRET "the secret of iris"

enum {
    /* The surroundings may refuse the attempt before the sandbox does: it needs root and capabilities (PRIVILEGED), or
     * a right that a container or an older kernel withholds (RARE). */
    PRIVILEGED = 1,
    RARE = 2,
};

struct attempt {
    const char *name;
    unsigned flags;
    bool (*act)(const struct stage *stage); /* true: the attempt worked; else errno says how it was refused */
    bool (*happened)(
        const struct stage *stage); /* looked at from outside afterwards; NULL: act's word is enough */
};

struct attempts {
    const struct attempt *items;
    size_t count;
};

extern const struct attempts file_attempts, process_attempts, kernel_attempts, network_attempts;

extern const char secret[]; /* SECRET, at the same address in every process of this program */

#endif
