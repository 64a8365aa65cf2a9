/* Tasks that come by themselves: the cron lines of agents.yaml put a block into their agent's queue.md (UTC).
 *
 * Each entry gives a block for each of its times once; of missed times (nobody ran, the clock jumped ahead) the
 * latest, once. While the block of an earlier time is still in the queue a further block would say the same: that
 * time is left out. A new entry begins with its next time.
 *
 * The block's id is made of the time and the entry's number ("schedule-20260429T0700-1"), its text of the entry and
 * the time, so the same time gives the same block. With a bus the number is made of the entry's cron line and task
 * (nine digits), so every node gives the same block. The last time that gave a block stands in shared/schedule.md, by a
 * key of the entry's cron line and task, so that entries may be moved about in agents.yaml. */
#pragma once

struct schedule;
struct supervisor;

/* Reads the times that were given before. No block is given until schedule_apply. */
struct schedule *schedule_open(struct supervisor *supervisor);
void schedule_close(struct schedule *schedule); /* NULL is fine */
/* The supervisor's agents are defined otherwise now. */
void schedule_apply(struct schedule *schedule);
/* Gives the blocks that are due; called by its own timer, and when the clock was set or time was lost otherwise. */
void schedule_look(struct schedule *schedule);
