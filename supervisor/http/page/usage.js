// What it cost, by day: all agents, or one.

import { make, said, replace, section, empty } from "./elements.js";
import { get, agentUrl, query } from "./api.js";
import { liveView } from "./view.js";
import { costBars } from "./chart.js";
import { money, compact, count, agentPath } from "./words.js";

const DAYS = [7, 30, 90, 365];

function days(chosen, changed) {
  const select = make("select", { id: "days", on: { change: () => changed(Number(select.value)) } }, DAYS.map((number) => make("option", { value: number, selected: number === chosen }, `${number} days`)));
  return make("div", { class: "tools" }, make("div", { class: "field" }, make("label", { for: "days" }, "The last"), select));
}

function tokensOf(items) {
  const sum = (key) => items.reduce((total, item) => total + (item[key] ?? 0), 0);
  return make("dl", { class: "figures" }, [["Tasks", count(sum("tasks"))], ["Requests", count(sum("requests"))], ["Tokens in", compact(sum("tokens_in"))], ["Tokens out", compact(sum("tokens_out"))],
    ["From the cache", compact(sum("cached_tokens"))], ["For audits", compact(sum("audit_tokens"))]].map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

function costliest(agents) {
  return make("table", { class: "plain-table" }, make("thead", {}, make("tr", {}, ["Agent", "Tasks", "Tokens", "Cost"].map((title, index) => make("th", { scope: "col", class: index ? "number" : null }, title)))),
    make("tbody", {}, agents.slice(0, 100).map((one) => make("tr", {}, make("th", { scope: "row" }, said(one.agent, "a", { href: agentPath(one.agent, "cost") })),
      [count(one.tasks), compact(one.tokens), money(one.cost)].map((value) => make("td", { class: "number" }, value))))));
}

function usage(path, changed) {
  let chosen = 30, known = "";
  const place = make("div", { class: "stack" }), element = make("div", { class: "stack" }, days(chosen, (number) => { chosen = number; known = ""; changed(); }), place);
  const refresh = async () => {
    const told = await get(query(path, { days: chosen })), text = JSON.stringify(told);
    if (text === known) return;
    known = text;
    replace(place, section("By day", told.items.length ? [costBars(told.items), tokensOf(told.items)] : empty("No model was asked.")),
      told.agents?.length ? section("By agent", costliest(told.agents)) : null);
  };
  return { element, refresh };
}

export function agentUsage(name) {
  const part = usage(agentUrl(name, "usage"), () => part.refresh());
  return part;
}

export function usageView() {
  let view;
  const part = usage("/v1/usage", () => view.again());
  const element = make("div", {}, make("div", { class: "title" }, make("h1", {}, "Cost"), make("p", { class: "summary" }, "Tokens, requests and cost by day (UTC), from the agents' commits.")), part.element);
  view = liveView({ title: "Cost", element, refresh: part.refresh, wants: (event) => event.event === "finished" });
  return view;
}
