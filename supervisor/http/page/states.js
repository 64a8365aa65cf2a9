// The states of an agent (contract section 10), what they look like, and which agent needs a person first.

import { make, visible } from "./elements.js";

// kind: the colour and mark. says: a sentence.
export const STATES = {
  failed: { kind: "bad", says: "The agent was restarted too often and is left alone." },
  backoff: { kind: "bad", says: "The worker ended and is started again soon." },
  paused: { kind: "warn", says: "The agent begins no task until it is resumed." },
  waiting: { kind: "warn", says: "The agent waits for its provider, a lock or a budget." },
  stopping: { kind: "calm", says: "The agent's cycle ends, then its worker." },
  starting: { kind: "busy", says: "The worker starts." },
  working: { kind: "busy", says: "The agent works at a task." },
  idle: { kind: "good", says: "The agent has nothing to do." },
  hibernating: { kind: "calm", says: "The agent sleeps without a process; work wakes it." },
  stopped: { kind: "off", says: "The agent was stopped and stays so." },
};

const MARKS = { bad: "▲", warn: "◆", busy: "●", good: "○", calm: "◌", off: "■" };

export function stateBadge(state) {
  const { kind, says } = STATES[state] ?? { kind: "calm", says: "" };
  return make("span", { class: `state ${kind}`, title: says || null }, make("span", { "aria-hidden": "true" }, MARKS[kind]), ` ${visible(state)}`);
}

const WEIGHT = { failed: 1e6, backoff: 5e5, paused: 500, waiting: 1000 };

// The larger, the sooner somebody should look.
export function trouble(agent) {
  return (WEIGHT[agent.state] ?? 0) + 1e5 * Math.min(agent.problems?.length ?? 0, 4) + 2e3 * Math.min(agent.dead_letters ?? 0, 20) +
    300 * Math.min(agent.negative_streak ?? 0, 10) + Math.min(agent.queue_depth ?? 0, 100);
}

export function needsLook(agent) {
  return agent.state === "failed" || agent.state === "backoff" || agent.problems?.length > 0 || agent.dead_letters > 0;
}
