// What an agent has learned: skills with their evidence and what is left of them, and its reflections.

import { make, said, longText, replace, section, empty } from "./elements.js";
import { get, agentUrl } from "./api.js";
import { decayBar } from "./chart.js";
import { when, several, percent, count } from "./words.js";

function fresh(skill) {
  if (typeof skill.decay !== "number") return make("p", { class: "soft" }, "No success yet.");
  return make("div", { class: "fresh" }, decayBar(skill.decay),
    make("span", { class: "soft" }, `${percent(skill.decay)} left`, skill.halflife_days && ` · half-life ${count(skill.halflife_days)} days`));
}

function skillCard(skill) {
  return make("li", { class: "skill" },
    make("div", { class: "head" }, said(skill.name, "h3"), make("span", { class: "tag" }, several(skill.reward_evidence ?? 0, "success", "successes"))),
    fresh(skill), said(skill.description, "p"),
    make("p", { class: "soft" }, "Last success ", when(skill.last_success), " · learned ", when(skill.created)),
    skill.body && make("details", { "data-key": `skill-${skill.name}` }, make("summary", {}, "How"), longText(skill.body, { class: "text file" })));
}

function reflectionCard(item) {
  return make("li", {}, said(item.task, "h3"), longText((item.body ?? "").trim(), { class: "text read" }));
}

export function learned(name) {
  const skills = make("div", {}), reflections = make("div", {}), known = {};
  const element = make("div", { class: "columns wide-first" }, section("Skills", skills), section("Reflections", reflections));
  const look = async (path, show) => {
    const told = await get(agentUrl(name, path)), text = JSON.stringify(told);
    if (known[path] === text) return;
    known[path] = text;
    show(told.items);
  };
  const list = (place, one, none) => (items) => replace(place, items.length ? make("ul", { class: "list" }, items.map(one)) : empty(none));
  return { element, refresh: () => Promise.all([look("skills", list(skills, skillCard, "No skill yet.")), look("reflections", list(reflections, reflectionCard, "No reflection yet."))]) };
}
