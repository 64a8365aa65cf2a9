// What an agent does now: the task in hand, its queue, what its last tasks earned, its goals.

import { make, said, longText, FEW, replace, section, empty } from "./elements.js";
import { get, agentUrl } from "./api.js";
import { rewardCurve } from "./chart.js";
import { when, several, envelopePath } from "./words.js";
import { orderButton } from "./orders.js";

const SHOWN = 50;

function cancel(name, task, after) {
  return orderButton("Cancel", { title: "Cancel this task?", act: "Cancel the task", danger: true, method: "DELETE", path: agentUrl(name, "tasks", task.id), done: "The task is cancelled.",
    text: task.state === "working" ? "The task is in hand: the model's answer so far is thrown away, and the question is paid for." : "The task leaves the queue and is not done." }, after, `Cancel task ${task.id}`);
}

function task(name, item, after) {
  return make("li", { class: item.state === "working" ? "task working" : "task" },
    make("div", { class: "head" }, said(item.id, "strong"), item.priority !== "normal" && make("span", { class: "tag" }, item.priority),
      item.problem && said(item.problem, "span", { class: "tag bad" }), item.lock && said(`lock ${item.lock}`, "span", { class: "tag" }), item.created && when(item.created), cancel(name, item, after)),
    longText(item.task, { class: "text few" }, FEW));
}

export function overview(name, after) {
  const work = make("div", {}), queue = make("div", {}), rewards = make("div", {}), goals = make("div", {});
  const element = make("div", { class: "columns" }, make("div", {}, section("Task in hand", work), section("Queue", queue)),
    make("div", {}, section("Rewards", rewards), section("Goals", goals)));
  const known = {};

  let inHand = null, told = null;
  const showTasks = () => {
    const working = told.items.find((item) => item.id === inHand), pending = told.items.filter((item) => item !== working);
    const beyond = told.count - (working ? 1 : 0) - Math.min(pending.length, SHOWN);
    replace(work, working ? make("ul", { class: "list" }, task(name, { ...working, state: "working" }, after))
      : inHand ? make("p", {}, "An envelope: ", said(inHand, "a", { href: envelopePath(inHand), class: "id" })) : empty("None."));
    replace(queue, pending.length ? [make("ol", { class: "list" }, pending.slice(0, SHOWN).map((item) => task(name, item, after))),
      beyond > 0 && make("p", { class: "soft" }, `And ${several(beyond, "more task")}.`)] : empty("No task waits."));
  };
  const showRewards = ({ items }) => replace(rewards, items.length ? rewardCurve(items) : empty("No task has earned anything yet."));
  const showGoals = ({ items }) => replace(goals, items.length ? make("ul", { class: "goals" }, items.map((item) =>
    make("li", { class: item.done ? "done" : null }, make("span", { role: "img", "aria-label": item.done ? "Reached" : "Open" }, item.done ? "✓" : "○"), " ", said(item.goal)))) : empty("None."));

  const look = async (path, show) => {
    const told = await get(agentUrl(name, path)), text = JSON.stringify(told);
    if (known[path] === text) return;
    known[path] = text;
    show(told);
  };
  // What the supervisor says that the agent is at: "working: ID".
  const agent = ({ detail }) => {
    const now = /^working: (.*)$/s.exec(detail ?? "")?.[1] ?? null;
    if (now === inHand) return;
    inHand = now;
    if (told) showTasks();
  };
  return { element, agent, refresh: () => Promise.all([look("tasks", (queued) => { told = queued; showTasks(); }), look("rewards", showRewards), look("goals", showGoals)]) };
}
