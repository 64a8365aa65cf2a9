// The orders of the command line as buttons. Each says what it will do before it does it.

import { make, announce, complain } from "./elements.js";
import { send, agentUrl } from "./api.js";
import { confirmed, filled } from "./dialog.js";

// on: the states in which the order makes sense.
const ORDERS = [
  { verb: "start", title: "Start", done: "runs", on: ["stopped", "failed", "stopping"],
    says: (name) => `A worker is started for ${name}, which goes on with its queue. The questions that it then asks cost money.` },
  { verb: "pause", title: "Pause", done: "is paused", on: ["idle", "working", "waiting", "hibernating", "starting", "backoff"],
    says: (name) => `${name} ends the task in hand and begins no other until it is resumed. New work stays in its queue, and a time to live goes on. The pause outlives a restart.` },
  { verb: "resume", title: "Resume", done: "goes on", on: ["paused"],
    says: (name) => `${name} goes on with its queue. The questions that it then asks cost money.` },
  { verb: "retry", title: "Ask provider again", done: "asks its provider again", on: ["waiting", "backoff"],
    says: (name) => `The wait of ${name} between two attempts is cut short: its provider is asked again now.` },
  { verb: "restart", title: "Restart", done: "was restarted", on: ["idle", "working", "waiting", "paused", "hibernating", "backoff", "failed"],
    says: (name) => `${name}'s cycle ends as for a stop, then its worker, and a new worker is started. No work is lost: a task that was cut short is done again.` },
  { verb: "stop", title: "Stop", danger: true, done: "is stopped", on: ["idle", "working", "waiting", "paused", "hibernating", "starting", "backoff"],
    says: (name) => `${name} may end its cycle within the time of STOP_GRACE; then its worker ends. A task that was not finished stays in its queue. The agent stays stopped, also after a restart of AgentOS, until it is started.` },
  { verb: "kill", title: "Kill", danger: true, done: "was killed and started again", on: ["idle", "working", "waiting", "paused", "starting", "stopping"],
    says: (name) => `${name}'s worker is killed at once, whatever it does, and started again. Its task is done again, once; a question that was out is asked again and paid for again.` },
];

async function give(agent, order, after) {
  const yes = await confirmed({ title: `${order.title} ${agent.name}?`, text: order.says(agent.name), act: `${order.title} ${agent.name}`, danger: order.danger });
  if (!yes) return;
  announce(`${order.title}: under way for ${agent.name}.`);
  try {
    await send("POST", agentUrl(agent.name, order.verb));
    announce(`${agent.name} ${order.done}.`);
  } catch (problem) {
    complain(`${order.title} ${agent.name}: ${problem.message}`);
  }
  after();
}

const TASK_FIELDS = [
  { name: "text", label: "What is it to do?", lines: 6, required: true },
  { name: "priority", label: "Priority", options: ["normal", "high", "low"] },
  { name: "ttl_seconds", label: "Time to live, in seconds", type: "number", help: "Empty: no end." },
  { name: "lock", label: "Lock that the task needs", help: "Empty: none." },
  { name: "id", label: "Id", help: "Empty: an id is made. The same id twice is one task." },
];

const TRIES = 3, BETWEEN_MS = 1000;

// An order with an id or a key is the same order however often it arrives: it is sent again while no answer comes.
async function sendAgain(path, body) {
  const headers = body.id ? {} : { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()).slice(2) };
  for (let left = TRIES - 1; ; left--) {
    try {
      return await send("POST", path, body, headers);
    } catch (problem) {
      if (problem.status !== 0 || left === 0) throw problem;
    }
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  }
}

// once: a message has no key, so a second arrival would be a second message.
async function post(path, body, sentence, after, once = false) {
  try {
    announce(sentence(once ? await send("POST", path, body) : await sendAgain(path, body)));
  } catch (problem) {
    complain(problem.message);
  }
  after();
}

async function giveTask(agent, after) {
  const given = await filled({ title: `A task for ${agent.name}`, act: "Give the task", fields: TASK_FIELDS,
    text: "The task stands in the agent's queue.md, on disk, when this page says so. Its question to the model costs money." });
  if (given) await post(agentUrl(agent.name, "tasks"), given, (done) => `Task ${done.id} is in the queue of ${agent.name}.`, after);
}

async function sendMessage(agent, after) {
  const given = await filled({ title: `A message to ${agent.name}`, act: "Send it", text: "The agent reads it in its next cycle, as from the operator.",
    fields: [TASK_FIELDS[0], TASK_FIELDS[1], TASK_FIELDS[2]].map((field) => (field.name === "text" ? { ...field, label: "Message" } : field)) });
  if (given) await post(agentUrl(agent.name, "messages"), given, () => `The message to ${agent.name} is on its way.`, after, true);
}

export async function enqueue(queue, after) {
  const given = await filled({ title: `An item for ${queue}`, act: "Put it into the queue", text: "One of the queue's consumers gets it, the one with the most room.",
    fields: TASK_FIELDS.filter((field) => field.name !== "lock") });
  if (given) await post(`/v1/queues/${encodeURIComponent(queue)}/items`, given, () => `The item is in ${queue}.`, after);
}

function button(title, act, more = {}) {
  return make("button", { type: "button", "data-key": title, ...more, on: { click: act } }, title);
}

export function orderButtons(agent, after) {
  return make("div", { class: "orders", role: "group", "aria-label": `Orders for ${agent.name}` },
    button("Give a task", () => giveTask(agent, after), { class: "main" }), button("Send a message", () => sendMessage(agent, after)),
    ORDERS.filter((order) => order.on.includes(agent.state)).map((order) =>
      button(order.title, () => give(agent, order, after), { class: order.danger ? "danger" : null })));
}

export async function order({ title, text, act, danger, method = "POST", path, body, done }, after) {
  if (!(await confirmed({ title, text, act, danger }))) return;
  try {
    await send(method, path, body);
    announce(done);
  } catch (problem) {
    complain(problem.message);
  }
  after();
}

export function orderButton(title, what, after, label) {
  return make("button", { type: "button", class: what.danger ? "small danger" : "small", "aria-label": label, "data-key": label ?? title,
    on: { click: () => order(what, after) } }, title);
}
