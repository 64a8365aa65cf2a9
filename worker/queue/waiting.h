/* The time that each piece of work has waited while its agent could work: neither paused nor stopped, the provider, the
 * storage and the budget in order. A clock of its own runs in such times alone, and each piece is noted with the
 * clock's time when it was first seen, whatever its `created` says.
 *
 * The crash: work that has waited for a minute or more is written to .agentos/waiting once a minute, and at an orderly
 * end. A kill or a power cut takes back the wait since then: no work is lost or done twice by that, old work only comes
 * some minutes later. So the file is never flushed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct waiting;

/* tree: descriptor of the agent's folder; borrowed. A file that can't be read counts as none. Never NULL. */
struct waiting *waiting_open(int tree);
/* Writes the file; NULL is fine. */
void waiting_close(struct waiting *waiting);

/* The time since the last call counts when able. now_ms: monotonic. Of more than two minutes between two calls the process
 * was frozen, and two count. */
void waiting_pass(struct waiting *waiting, bool able, int64_t now_ms);

/* Is it time for a look? At most once a second, less often where there is much work. */
bool waiting_is_due(const struct waiting *waiting, int64_t now_ms);
/* A look: every piece of work is noted between begin and end; a piece that several looks in a row don't note is
 * forgotten. */
void waiting_begin(struct waiting *waiting);
void waiting_note(struct waiting *waiting, uint64_t work); /* once a look */
void waiting_end(struct waiting *waiting, int64_t now_ms);

/* The key of a piece of work: its id and its hash. */
uint64_t waiting_key(const char *id, uint64_t hash);
/* Milliseconds; 0 for what no look has noted yet. */
int64_t waiting_ms(const struct waiting *waiting, uint64_t work);
