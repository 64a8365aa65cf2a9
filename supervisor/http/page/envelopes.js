// Envelopes: handoffs, messages, results, bounces and items of queues; dead letters with what can be done for them.

import { make, said, longText, FEW } from "./elements.js";
import { pagedList } from "./pages.js";
import { liveView } from "./view.js";
import { when, agentPath, envelopePath } from "./words.js";
import { orderButton } from "./orders.js";

const KINDS = ["handoff", "message", "result", "bounce", "item"];
const STATUSES = ["pending", "deferred", "delivered", "reading", "finished", "read", "expired", "refused", "failed"];
const PLACES = ["operator", "outbox", "queue", "inbox", "handoffs", "archive", "dead-letters"];
const BAD = ["expired", "refused", "failed"];

export function statusTag(status) {
  const kind = BAD.includes(status) ? "bad" : status === "finished" || status === "read" ? "good" : status === "deferred" ? "warn" : "busy";
  return said(status, "span", { class: `tag ${kind}` });
}

export function who(name) {
  return /^[a-z][a-z0-9_-]*$/.test(name ?? "") && name !== "operator" && name !== "supervisor" ? said(name, "a", { href: agentPath(name) }) : said(name ?? "–");
}

export function deadLetterOrders(item, after) {
  const path = `/v1/envelopes/${encodeURIComponent(item.id)}`, gone = () => after();
  return make("div", { class: "orders" },
    orderButton("Requeue", { title: "Give this dead letter a fresh life?", act: "Requeue it", path: `${path}/requeue`, done: "The dead letter lives again.",
      text: "The envelope is delivered once more, with its attempts and its time to live counted from now. Work in it is done and paid for again." }, gone, `Requeue ${item.id}`),
    orderButton("Purge", { title: "Remove this dead letter?", act: "Purge it", danger: true, method: "DELETE", path, done: "The dead letter is purged.",
      text: "The envelope's file is removed and nobody can requeue it any more. Its versions in git stay." }, gone, `Purge ${item.id}`));
}

function entry(item, after) {
  const dead = item.place === "dead-letters";
  return make("li", { class: "envelope" },
    make("div", { class: "head" }, make("span", { class: "kind" }, said(item.kind)), make("span", { class: "way" }, who(item.from), " → ", who(item.to || item.queue)), statusTag(item.status), when(item.created)),
    longText(item.body ?? "", { class: "text few" }, FEW),
    item.reason && make("p", { class: "fault" }, said(item.reason)),
    make("div", { class: "foot" }, said(item.id, "a", { href: envelopePath(item.id), class: "id" }), dead && deadLetterOrders(item, after)));
}

export function agentEnvelopes(name, place, after) {
  return pagedList({ path: "/v1/envelopes", values: () => ({ agent: name, place }), one: (item) => entry(item, after),
    none: place ? "No dead letter." : "No envelope has come or gone.", label: place ? "Dead letters, newest first" : "Envelopes, newest first" });
}

function choice(id, title, options, chosen, changed) {
  const select = make("select", { id, on: { change: () => changed(select.value) } }, make("option", { value: "" }, "any"),
    options.map((option) => make("option", { value: option, selected: option === chosen }, option)));
  return make("div", { class: "field" }, make("label", { for: id }, title), select);
}

export function envelopesView(values) {
  const chosen = { agent: values.get("agent") ?? "", kind: values.get("kind") ?? "", status: values.get("status") ?? "", place: values.get("place") ?? "" };
  let view;
  const list = pagedList({ path: "/v1/envelopes", values: () => chosen, one: (item) => entry(item, () => view.again()), none: "No envelope is like this.", label: "Envelopes, newest first" });
  const choose = (key) => (value) => {
    chosen[key] = value;
    const set = new URLSearchParams(Object.entries(chosen).filter(([, text]) => text));
    history.replaceState(null, "", set.size ? `#/envelopes?${set}` : "#/envelopes");
    view.again();
  };
  const agent = make("input", { id: "of-agent", value: chosen.agent, autocomplete: "off", spellcheck: "false", on: { change: () => choose("agent")(agent.value.trim()) } });
  const element = make("div", {}, make("div", { class: "title" }, make("h1", {}, "Envelopes"), make("p", { class: "summary" }, "Envelopes between agents, newest first.")),
    make("div", { class: "tools" }, make("div", { class: "field" }, make("label", { for: "of-agent" }, "Agent"), agent),
      choice("kind", "Kind", KINDS, chosen.kind, choose("kind")), choice("status", "Status", STATUSES, chosen.status, choose("status")), choice("place", "Where", PLACES, chosen.place, choose("place"))),
    list.element);
  view = liveView({ title: "Envelopes", element, refresh: list.refresh, wants: (event) => String(event.event).startsWith("envelope_") });
  return view;
}
