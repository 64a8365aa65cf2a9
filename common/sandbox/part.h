/* The sandbox from within; for the files of this folder alone. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "common/sandbox/sandbox.h"

/* Which roles a row of a table is for. */
#define FOR(role) (1u << SANDBOX_##role)
#define NETWORK   (FOR(GATEWAY) | FOR(MIRROR) | FOR(BUS)) /* the calls that make connections */
#define PROGRAMS  (FOR(EXEC) | FOR(GIT) | FOR(CHECKER))   /* of others */

/* A compiled filter; the places where the process's own pid belongs are marked by a value of their own. */
struct program {
    struct sock_filter *code; /* owned */
    size_t length;            /* instructions; 0: none */
    bool asks;                /* a listener, at some calls */
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
/* all_threads: also threads that run already. listener: NULL, or gets the descriptor that the filter asks. */
bool seccomp_install(const struct program *program, bool all_threads, int *listener, struct fault *fault);

/* limits.c */
bool limits_set(enum sandbox_role role, const struct sandbox_room *room, struct fault *fault);
void limits_foresee(void); /* in a process whose forks will be workers: theirs are set faster */
bool privileges_drop(struct fault *fault);

/* address_space.c. Reserves this process's free addresses, but for a window of `size` bytes where the kernel maps next,
 * and the heap's room to grow; all in bytes. Forks of the process do so faster when address_space_reserve was called
 * before. False: the addresses are not wholly bounded (RLIMIT_AS is set already, no /proc). */
bool address_space_reserve(void);
bool address_space_bound(uint64_t heap, uint64_t size);
struct address_room {
    uint64_t from, to, most; /* only what begins here and is no longer may be unmapped (sandbox_tighten) */
};
const struct address_room *address_space_room(void);

bool mdwe_there(void);
bool mdwe_set(struct fault *fault);
bool dumpable_clear(struct fault *fault);
