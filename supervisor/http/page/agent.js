// One agent: what stands above, and the sections below it.

import { make, said, longText, FEW, replace, complain, quiet, visible } from "./elements.js";
import { get, agentUrl } from "./api.js";
import { listen, concerns } from "./events.js";
import { stateBadge, STATES } from "./states.js";
import { count, compact, money, bytes, duration, agentPath, several } from "./words.js";
import { orderButtons } from "./orders.js";
import { overview } from "./overview.js";
import { learned } from "./learned.js";
import { diary } from "./diary.js";
import { agentEnvelopes } from "./envelopes.js";
import { agentUsage } from "./usage.js";

const REFRESH_MS = 10000, SETTLE_MS = 500;

// Each makes {element, refresh()}: refresh asks again and shows what changed.
const SECTIONS = [
  ["", "Now", overview],
  ["learned", "Learned", learned],
  ["diary", "Diary", diary],
  ["envelopes", "Envelopes", (name, after) => agentEnvelopes(name, "", after)],
  ["dead-letters", "Dead letters", (name, after) => agentEnvelopes(name, "dead-letters", after)],
  ["cost", "Cost", agentUsage],
];

function figures(agent) {
  const pairs = [
    ["Queue", count(agent.queue_depth)], ["Inbox", count(agent.inbox_depth)], ["Handoffs", count(agent.handoff_depth)], ["Outbox", count(agent.outbox_depth)],
    ["Dead letters", count(agent.dead_letters), agent.dead_letters > 0], ["Failed in a row", count(agent.negative_streak), agent.negative_streak > 0],
    ["Tasks done", count(agent.tasks_done)], ["Tokens today", compact(agent.tokens_today)], ["Requests today", count(agent.requests_today)],
    ["Cost today", money(agent.cost_today)], ["Up", agent.pid ? duration(agent.uptime_seconds) : "–"], ["Restarts", count(agent.restarts)],
    ["Memory", bytes(agent.memory_bytes)], ["Throughput", agent.throughput_class],
  ];
  return pairs.map(([term, value, fault]) => make("div", { class: fault ? "fault" : null }, make("dt", {}, term), make("dd", {}, visible(value))));
}

class AgentPage {
  constructor(name, section) {
    this.name = name;
    this.build();
    this.choose(section);
    this.stop = listen((event) => this.hear(event));
    this.load();
  }

  build() {
    this.state = make("span", { class: "badge" });
    this.detail = make("div", { class: "lead" });
    this.problems = make("div", {});
    this.figures = make("dl", { class: "figures" });
    this.orders = make("div", {});
    this.tabs = new Map(SECTIONS.map(([key, title]) => [key, make("a", { href: key ? agentPath(this.name, key) : agentPath(this.name) }, title)]));
    this.below = make("div", { class: "section", tabindex: "-1" });
    this.element = make("div", { class: "agent" },
      make("nav", { "aria-label": "Where you are", class: "crumbs" }, make("a", { href: "#/" }, "All agents")),
      make("div", { class: "title" }, said(this.name, "h1"), this.state), this.detail, this.problems, this.orders, this.figures,
      make("nav", { "aria-label": `Sections of ${visible(this.name)}`, class: "tabs" }, make("ul", {}, [...this.tabs.values()].map((link) => make("li", {}, link)))),
      this.below);
  }

  choose(section) {
    const [key, title, of] = SECTIONS.find(([one]) => one === section) ?? SECTIONS[0];
    this.section?.leave?.();
    this.section = of(this.name, () => this.again());
    if (this.agent) this.section.agent?.(this.agent);
    this.below.setAttribute("aria-label", title);
    replace(this.below, this.section.element);
    for (const [one, link] of this.tabs) {
      if (one === key) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.refresh();
  }

  async refresh() {
    await this.section.refresh().then(() => this.left || this.missing || quiet(this), (problem) => this.left || complain(problem.message, this));
  }

  async load() {
    clearTimeout(this.timer);
    try {
      const agent = await get(agentUrl(this.name));
      if (this.left) return;
      this.missing = false;
      if (agent !== this.agent) this.show(agent);
    } catch (problem) {
      this.missing = true;
      if (!this.left) complain(problem.message, this);
    }
    if (!this.left) this.timer = setTimeout(() => (document.hidden ? this.wake() : this.again()), REFRESH_MS);
  }

  wake() {
    document.addEventListener("visibilitychange", () => this.left || this.again(), { once: true });
  }

  async again() {
    await this.load();
    if (!this.left) await this.refresh();
  }

  show(agent) {
    const before = this.agent;
    this.agent = agent;
    if (before?.state !== agent.state) {
      this.state.replaceChildren(stateBadge(agent.state));
      replace(this.orders, orderButtons(agent, () => this.again()));
    }
    const detail = agent.detail ?? STATES[agent.state]?.says ?? "", problems = JSON.stringify(agent.problems ?? []);
    this.detail.hidden = agent.problems?.includes(detail);
    if (detail !== this.shownDetail) replace(this.detail, longText(detail, {}, FEW));
    this.shownDetail = detail;
    if (problems !== this.shownProblems) replace(this.problems, agent.problems?.length ? make("div", { class: "problems" }, make("h2", {}, several(agent.problems.length, "problem")),
      make("ul", {}, agent.problems.map((problem) => make("li", {}, longText(problem, {}, FEW))))) : null);
    this.shownProblems = problems;
    this.figures.replaceChildren(...figures(agent));
    this.section.agent?.(agent);
  }

  hear(event) {
    if (event.event !== "lost" && !concerns(event, this.name)) return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.left || this.again(), SETTLE_MS);
  }

  leave() {
    this.left = true;
    this.stop();
    this.section.leave?.();
    clearTimeout(this.timer);
    clearTimeout(this.soon);
  }
}

export function agentView([name, section = ""]) {
  const page = new AgentPage(name, section);
  return {
    title: visible(name), element: page.element, leave: () => page.leave(),
    turn: ([, other = ""]) => { page.choose(other); page.below.focus({ preventScroll: true }); return true; },
  };
}
