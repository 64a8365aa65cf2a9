/* The sandbox from within; for the files of this folder alone. */
#ifndef AGENTOS_COMMON_SANDBOX_PART_H
#define AGENTOS_COMMON_SANDBOX_PART_H

#include <linux/filter.h>
#include <stddef.h>

#include "common/sandbox/sandbox.h"

/* Which roles a row of a table is for. */
#define FOR(role) (1u << SANDBOX_##role)

/* A compiled filter; the places where the process's own pid belongs are marked by a value of their own. */
struct program {
    struct sock_filter *code; /* owned */
    size_t length;            /* instructions; 0: none */
};

struct sandbox {
    enum sandbox_role role;
    enum sandbox_mode mode;
    struct sandbox_facts facts;
    struct program filter, tightening;
};

/* landlock.c */
enum { LANDLOCK_SIGNALS = 6 /* since this ABI it keeps signals within the sandbox */ };
int landlock_abi(void); /* 0 and errno: there is none */
bool landlock_confine(const struct sandbox *sandbox, const struct sandbox_room *room, struct fault *fault);

/* seccomp.c */
bool seccomp_there(void); /* false and errno */
bool seccomp_compile(enum sandbox_role role, bool tightening, struct program *program, struct fault *fault);
/* all_threads: those that run already too. listener: NULL, or it gets the descriptor that the filter asks. */
bool seccomp_install(const struct program *program, bool all_threads, int *listener, struct fault *fault);
bool seccomp_can_ask(void); /* a filter can ask a listener */

/* limits.c */
bool limits_set(enum sandbox_role role, const struct sandbox_room *room, struct fault *fault);
bool privileges_drop(struct fault *fault);
bool mdwe_there(void);
bool mdwe_set(struct fault *fault);
bool dumpable_clear(struct fault *fault);

#endif
