// What happens, as it happens: the stream of events, the newest first.

import { make, said, visible } from "./elements.js";
import { listen } from "./events.js";
import { agentPath, envelopePath, when } from "./words.js";

const KEPT = 300;
const BAD = ["problem", "negative_streak", "audit_divergence", "lock_expired", "reload_refused", "lost", "envelope_failed", "envelope_expired", "envelope_refused"];
const kept = [];

listen((event) => {
  if (event.event === "connected") return;
  kept.unshift(event);
  kept.length = Math.min(kept.length, KEPT);
});

const HIDDEN = ["event", "agent", "time", "id"];

const link = (id) => said(id, "a", { href: envelopePath(id), class: "id" });

// "handoff ID from orion to iris failed: the reason", "idle → working"; of other events their name and all that they say.
function words(event, name) {
  const end = /^envelope_(.+)/.exec(name)?.[1];
  if (end && event.kind && event.id)
    return [said(event.kind), " ", link(event.id), " from ", said(event.from ?? "?"), " to ", said(event.to ?? "?"), " ", make("strong", {}, visible(end).replace(/_/g, " ")), ...(event.reason ? [": ", said(event.reason)] : [])];
  if (name === "state") return [said(event.from ?? "?"), " → ", said(event.to ?? "?", "strong")];
  const facts = Object.entries(event).filter(([key, value]) => !HIDDEN.includes(key) && value !== null && value !== "");
  return [make("strong", {}, visible(name).replace(/_/g, " ")), ...(event.id ? [" ", link(event.id)] : []),
    ...facts.flatMap(([key, value]) => [" ", make("span", { class: "soft" }, `${visible(key)} `), said(typeof value === "object" ? JSON.stringify(value) : value)])];
}

function line(event) {
  const name = String(event.event ?? "?");
  return make("li", { class: BAD.includes(name) ? "bad" : null }, event.time ? when(event.time) : make("span", {}),
    make("span", { class: "what" }, event.agent && [said(event.agent, "a", { href: agentPath(event.agent) }), " "], words(event, name)));
}

export function activityView() {
  const list = make("ol", { class: "activity", "aria-label": "Events, newest first" }), none = make("p", { class: "empty" }, "No event since this tab was opened.");
  let held = false, waiting = [];
  const add = (events) => {
    list.prepend(...events.map(line).reverse());
    while (list.children.length > KEPT) list.lastElementChild.remove();
    none.hidden = list.children.length > 0;
  };
  const hold = make("button", { type: "button", "aria-pressed": "false", on: { click: () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    if (!held) add(waiting);
    waiting = [];
  } } }, "Hold the list still");
  add([...kept].reverse());
  const stop = listen((event) => {
    if (event.event === "connected") return;
    if (held) waiting = [...waiting, event].slice(-KEPT);
    else add([event]);
  });
  const element = make("div", { class: "stack" }, make("div", { class: "title" }, make("h1", {}, "Activity"), make("p", { class: "summary" }, "Events as they happen.")), make("div", { class: "tools" }, hold), none, list);
  return { title: "Activity", element, leave: stop };
}
