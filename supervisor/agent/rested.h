/* The list of hibernating agents, DATA_DIR/.run/rested: the next supervisor lets them go on hibernating and starts no
 * worker to find out that there is nothing to do.
 *
 * The file has each agent's last event: its worker left for lack of work ("+", with the state of its definition and
 * queue.md, and the findings of the last looks at its tree), or a worker is about to be started ("-"). Each line is
 * one write(2) before the next step, so the file is right whenever the supervisor is killed. A crash of the machine
 * may lose writes, so the file counts only within one boot, and only for the same version of AgentOS. Without it, or
 * where the disk is full, every agent is started once. */
#pragma once

struct agent;
struct agents;

/* Once, when every agent of agents.yaml is known: an agent that the file lists and whose definition is the same gets
 * notice.slept, notice.queue_stamp, its figures and the findings of the last looks at its tree from the file. The
 * file is begun anew. */
void rested_begin(struct agents *agents);
void rested_end(struct agents *agents);

/* The agent's worker has left, and the agent hibernates; or the tree was looked at since then. An agent with problems
 * isn't listed, so that its problems are told after the next start. */
void rested_note(struct agent *agent);
/* A worker is about to be started, or the agent is taken out of agents.yaml. */
void rested_forget(struct agent *agent);
