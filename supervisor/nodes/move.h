/* `agentos move`: an agent is carried from this node to another one of the bus, one agent at a time (contract section
 * 12); or the agent comes from the git remote to this node (from_remote.h).
 *
 *   1. the agent's worker is drained; the lease stays here, so the agent runs nowhere
 *   2. `agentos export` packs the agent's history and files; the bundle goes over the bus in pieces
 *   3. the other node unpacks the bundle by `agentos import`, checks and flushes it, notes the lease's epoch in the
 *      directory, and says so
 *   4. the directory here is renamed to agents/.moved-NAME-to-NODE-ID, which no node takes up
 *   5. the lease is given back, and the other node, which has the directory now, takes it
 * An end before 4: the directory here is whole and the lease here or free; the agent starts here again, with a later
 * epoch, and the directory there is older than the agent, so that no node takes that up either; the next move replaces
 * it. An end between 4 and 5: the directory is there alone, and the lease runs out.
 *
 * From the git remote: agentos-mirror fetches the branch, 3 unpacks it, and the lease, which nobody holds, is taken as
 * ever. An end before the epoch is noted: the directory is older than the agent, so no node takes it up, and the next
 * time replaces it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fault.h"

struct agent;
struct move;
struct local_node;

struct move_owner {
    /* The claim on the agent's lease is to be decided again: the agent is on its way (move_has), or no longer. */
    void (*claim)(void *context, const char *agent);
    /* The agent's lease is here, for some seconds more at least. */
    bool (*holds)(void *context, const char *agent);
    void *context;
};

struct move *move_new(const struct local_node *local, const struct move_owner *owner); /* owner is copied */
void move_free(struct move *move);                                                     /* NULL is fine */
/* Begins to carry the agent to the node, which is another one and known. EX_OK, or why not: EX_TEMPFAIL. */
int move_begin(struct move *move, struct agent *agent, const char *node, struct fault *fault);
/* Begins to take the agent from the git remote to here. epoch: of the agent's last lease. EX_OK, or EX_TEMPFAIL or
 * EX_CANTCREAT. */
int move_fetch(struct move *move, const char *agent, uint64_t epoch, struct fault *fault);
/* Whether the agent is on its way from here. */
bool move_has(const struct move *move, const char *agent);
/* Whether the agent is being taken from the git remote: until its epoch is noted, nothing here begins it anew or
 * takes it up. */
bool move_fetches(const struct move *move, const char *agent);
/* The stage of the agent's last move, "draining" …, "done"; or NULL and fault: the move has failed, or there was
 * none. */
const char *move_stage(const struct move *move, const char *agent, struct fault *fault);
void move_turn(struct move *move); /* about every half second, and when a process has ended */
bool move_reap(struct move *move, pid_t pid, int status);
/* As in bus_owner. */
void move_bus_state(struct move *move, bool connected);
void move_published(struct move *move, uint64_t ticket, const char *why);
bool move_arrived(struct move *move, uint64_t token, const char *subject, const char *node, const void *bytes,
                  size_t length);
