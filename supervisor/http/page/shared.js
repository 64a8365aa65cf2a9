// What agents share: work queues, locks and segments.

import { make, said, longText, FEW, replace, section, empty } from "./elements.js";
import { get } from "./api.js";
import { pagedList } from "./pages.js";
import { liveView } from "./view.js";
import { when, several, envelopePath, count } from "./words.js";
import { who, statusTag } from "./envelopes.js";
import { enqueue } from "./orders.js";

function heading(title, sentence) {
  return make("div", { class: "title" }, make("h1", {}, title), make("p", { class: "summary" }, sentence));
}

function queueItem(item) {
  return make("li", {}, make("div", { class: "head" }, said(item.queue ?? item.owner ?? "", "strong"), who(item.from), item.to && [" → ", who(item.to)], statusTag(item.status), when(item.created),
    said(item.id, "a", { href: envelopePath(item.id), class: "id" })), longText(item.body ?? "", { class: "text few" }, FEW));
}

function queueCard(queue, again) {
  return make("li", {}, said(queue.queue, "h2", { class: "name" }), make("span", { class: "soft" }, several(queue.items ?? 0, "item")),
    make("button", { type: "button", class: "small", "data-key": `enqueue-${queue.queue}`, on: { click: () => enqueue(queue.queue, again) } }, "Put an item in"));
}

export function queuesView() {
  let view, known = "";
  const queues = make("div", {});
  const list = pagedList({ path: "/v1/queues", one: queueItem, none: "No item lies in a queue.", label: "Items, newest first" });
  const refresh = async () => {
    const told = await list.refresh(), text = JSON.stringify(told.queues);
    if (text === known) return;
    known = text;
    replace(queues, told.queues?.length ? make("ul", { class: "tiles" }, told.queues.map((queue) => queueCard(queue, () => view.again()))) : empty("agents.yaml names no queue."));
  };
  const element = make("div", { class: "stack" }, heading("Queues", "An item goes to the consumer that has the most room."), queues, section("Items", list.element));
  view = liveView({ title: "Queues", element, refresh, wants: (event) => String(event.event).startsWith("envelope_") });
  return view;
}

// A listing whose answer is small: all of it, again when it has changed.
function listing({ title, sentence, path, one, none, wants }) {
  const place = make("div", {}, empty("Asking …"));
  let known = "";
  const refresh = async () => {
    const told = await get(path), text = JSON.stringify(told);
    if (text === known) return;
    known = text;
    replace(place, told.items.length ? make("ul", { class: "list cards" }, told.items.map(one)) : empty(none));
  };
  return liveView({ title, element: make("div", { class: "stack" }, heading(title, sentence), place), refresh, wants });
}

// What a notice says beyond the keys that the page knows.
function others(item, known) {
  const pairs = Object.entries(item).filter(([key, value]) => !known.includes(key) && value !== null && value !== "");
  return pairs.length > 0 && make("dl", { class: "facts" }, pairs.map(([key, value]) => make("div", {}, said(key.replace(/_/g, " "), "dt"),
    make("dd", {}, /^\d{4}-\d\d-\d\dT/.test(value) ? when(value) : said(Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : value)))));
}

function nameOf(item) {
  return item.name ?? item.lock ?? item.segment ?? String(item.path ?? "").replace(/^.*\//, "").replace(/\.md$/, "");
}

function lockCard(item) {
  const waiters = Array.isArray(item.waiters) ? item.waiters : [];
  return make("li", {}, make("div", { class: "head" }, said(nameOf(item), "h2", { class: "name" }), item.holder ? make("span", { class: "tag busy" }, "held by ", said(item.holder)) : make("span", { class: "tag good" }, "free"),
    waiters.length > 0 && make("span", { class: "tag warn" }, `${several(waiters.length, "task")} waiting`)),
  others(item, ["name", "lock", "holder", "body", "path", "waiters"]),
  waiters.length > 0 && make("ol", { class: "waiters" }, waiters.map((one) => said(typeof one === "object" ? Object.values(one).join(" · ") : one, "li"))));
}

function segmentCard(item) {
  return make("li", {}, make("div", { class: "head" }, said(nameOf(item), "h2", { class: "name" }), make("span", { class: "tag" }, `version ${count(item.version)}`)),
    longText(item.body ?? "", { class: "text read" }), others(item, ["name", "segment", "version", "body", "path"]));
}

export function locksView() {
  return listing({ title: "Locks", sentence: "A lock is held by one task, with a lease.", path: "/v1/locks", one: lockCard, none: "No lock has been asked for.", wants: (event) => String(event.event).startsWith("lock_") || event.event === "finished" });
}

export function segmentsView() {
  return listing({ title: "Segments", sentence: "Texts that agents share; readers get them in their prompts.", path: "/v1/segments", one: segmentCard, none: "There is no segment yet.", wants: (event) => event.event === "finished" });
}
