// One envelope with its whole route through the system, drawn and told.

import { make, said, longText, FEW, replace, section, visible } from "./elements.js";
import { get } from "./api.js";
import { liveView } from "./view.js";
import { phone, routeDrawing } from "./trace.js";
import { when, money, envelopePath, count, several } from "./words.js";
import { statusTag, who, deadLetterOrders } from "./envelopes.js";

const FACTS = [["Created", "created"], ["Delivered", "delivered"], ["Read", "read"], ["Finished", "finished"]];

function facts(item) {
  const rows = [["From", who(item.from)], ["To", who(item.to || item.queue)], ["Status", statusTag(item.status)], ["Priority", said(item.priority ?? "–")],
    ...FACTS.filter(([, key]) => item[key]).map(([title, key]) => [title, when(item[key])]),
    ["Time to live", item.ttl_seconds ? `${count(item.ttl_seconds)} s` : "for ever"], ["Attempts", count(item.attempts)], ["Hops", count(item.hops)],
    ["Trace", said(item.trace ?? "–")], item.in_reply_to && ["In reply to", said(item.in_reply_to, "a", { href: envelopePath(item.in_reply_to) })],
    item.cost && ["Its trace cost", `${money(item.cost.cost)}${item.cost.complete ? "" : " so far known"} · ${several(item.cost.tokens ?? 0, "token")}`], ["File", said(item.path ?? "–", "code")]];
  return make("dl", { class: "facts" }, rows.filter(Boolean).map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

function step(one, index) {
  return make("li", {}, make("span", { class: "step", "aria-hidden": "true" }, String(index + 1)), make("div", {},
    make("div", { class: "head" }, who(one.agent), said(one.what), when(one.time)),
    one.subject && make("p", { class: "soft" }, one.commit && [make("code", {}, visible(one.commit).slice(0, 10)), " "], said(one.subject))));
}

function short(one) {
  return make("li", {}, make("div", { class: "head" }, make("span", { class: "kind" }, said(one.kind)), make("span", { class: "way" }, who(one.from), " → ", who(one.to || one.queue)), statusTag(one.status),
    said(one.id, "a", { href: envelopePath(one.id), class: "id" })), longText(one.body ?? "", { class: "text few" }, FEW));
}

function content(item, again) {
  const route = item.route ?? [], answers = item.answers ?? [], others = (item.of_trace ?? []).filter((one) => one.id !== item.id);
  return [
    section("Text", longText(item.body ?? "", { class: "text read" }), item.reason && make("p", { class: "fault" }, said(item.reason)),
      (item.copies ?? [item]).some((copy) => String(copy.path).includes("/dead-letter/")) && deadLetterOrders(item, again)),
    section("Route", routeDrawing(item, route), make("ol", { class: "route" }, route.map(step))),
    answers.length > 0 && section("Answers", make("ul", { class: "list" }, answers.map(short))),
    others.length > 0 && section("Of the same trace", make("ul", { class: "list" }, others.map(short))),
    section("Facts", facts(item)),
  ];
}

export function envelopeView([id]) {
  const place = make("div", { class: "stack" }), heading = make("h1", {}, "Envelope"), under = make("p", { class: "summary" }, said(id, "code"));
  let view, known = "";
  const refresh = async () => {
    const item = await get(`/v1/envelopes/${encodeURIComponent(id)}`), text = JSON.stringify(item);
    if (text === known) return;
    known = text;
    replace(heading, make("span", { class: "kind" }, said(item.kind)), " ", make("span", { class: "way" }, said(item.from), " → ", said(item.to || item.queue || "–")));
    replace(under, statusTag(item.status), " ", said(id, "code"));
    replace(place, content(item, () => view.again()));
  };
  const element = make("div", {}, make("nav", { "aria-label": "Where you are", class: "crumbs" }, make("a", { href: "#/envelopes" }, "All envelopes")),
    make("div", { class: "title" }, heading, under), place);
  view = liveView({ title: `Envelope ${visible(id)}`, element, refresh, wants: (event) => event.id === id || String(event.event).startsWith("envelope_") });
  const narrow = phone(), redraw = () => { known = ""; view.again(); };
  narrow.addEventListener("change", redraw);
  return { ...view, leave: () => { narrow.removeEventListener("change", redraw); view.leave(); } };
}
