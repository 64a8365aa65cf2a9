// All agents: ten thousand as well as three. A page of them at a time, those in trouble first.

import { make, said, setText, announce, complain, quiet, visible } from "./elements.js";
import { get, agentUrl } from "./api.js";
import { listen } from "./events.js";
import { STATES, stateBadge, trouble, needsLook } from "./states.js";
import { count, several, compact, money, bytes, duration, agentPath } from "./words.js";

const PAGE = 100;
const REFRESH_MS = 5000;

// key: what the list can be sorted by. narrow: the smallest screen that has the column (style.css).
const COLUMNS = [
  { key: "name", title: "Agent", up: true, of: (agent) => agent.name },
  { key: "trouble", title: "State", of: trouble },
  { key: "queue", title: "Queue", number: true, of: (agent) => agent.queue_depth, says: (agent) => count(agent.queue_depth) },
  { key: "inbox", title: "Inbox", number: true, wide: 2, of: (agent) => agent.inbox_depth + agent.handoff_depth, says: (agent) => count(agent.inbox_depth + agent.handoff_depth) },
  { key: "dead", title: "Dead letters", number: true, wide: 1, of: (agent) => agent.dead_letters, says: (agent) => count(agent.dead_letters) },
  { key: "streak", title: "Failed in a row", number: true, wide: 2, of: (agent) => agent.negative_streak, says: (agent) => count(agent.negative_streak) },
  { key: "done", title: "Done", number: true, wide: 1, of: (agent) => agent.tasks_done, says: (agent) => count(agent.tasks_done) },
  { key: "tokens", title: "Tokens today", number: true, wide: 3, of: (agent) => agent.tokens_today, says: (agent) => compact(agent.tokens_today) },
  { key: "cost", title: "Cost today", number: true, wide: 1, of: (agent) => agent.cost_today ?? -1, says: (agent) => money(agent.cost_today) },
  { key: "memory", title: "Memory", number: true, wide: 3, of: (agent) => agent.memory_bytes, says: (agent) => bytes(agent.memory_bytes) },
];

function sorted(agents, key) {
  const column = COLUMNS.find((one) => one.key === key) ?? COLUMNS[1];
  const name = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  if (column.key === "name") return agents.sort(name);
  return agents.map((agent) => [column.of(agent), agent]).sort((a, b) => b[0] - a[0] || name(a[1], b[1])).map(([, agent]) => agent);
}

function matches(agent, words) {
  if (!words.length) return true;
  const text = [agent.name, agent.state, agent.detail, ...(agent.problems ?? [])].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// Why the agent is where it is in the list, also where a phone has no column for it.
function why(agent) {
  return agent.problems?.[0] ?? agent.detail ?? (agent.dead_letters > 0 ? several(agent.dead_letters, "dead letter") : "");
}

// A row of the table that stays while its agent is on the page, so that focus and reading place stay with it.
function row(name) {
  const detail = make("div", { class: "detail" }), state = make("td", {});
  const cells = COLUMNS.slice(2).map((column) => make("td", { class: `number wide-${column.wide ?? 0}` }));
  const link = said(name, "a", { href: agentPath(name) });
  const element = make("tr", {}, make("th", { scope: "row" }, link, detail), state, ...cells);
  let shown = null;
  const update = (agent) => {
    if (shown !== agent.state) state.replaceChildren(stateBadge(agent.state));
    shown = agent.state;
    setText(detail, visible(why(agent)));
    detail.classList.toggle("fault", Boolean(agent.problems?.length));
    element.classList.toggle("look", needsLook(agent));
    COLUMNS.slice(2).forEach((column, index) => {
      setText(cells[index], column.says(agent));
      cells[index].classList.toggle("none", !(column.of(agent) > 0));
      cells[index].classList.toggle("fault", column.of(agent) > 0 && (column.key === "dead" || column.key === "streak"));
    });
  };
  return { element, update };
}

class AgentList {
  constructor(values) {
    this.agents = new Map();
    this.rows = new Map();
    this.search = values.get("search") ?? "";
    this.state = values.get("state") ?? "";
    this.sort = values.get("sort") ?? "trouble";
    this.page = Math.max(1, Number(values.get("page")) || 1);
    this.build();
    this.stop = listen((event) => this.hear(event));
    this.load();
  }

  build() {
    this.summary = make("p", { class: "summary" }, "Asking for the agents …");
    this.filters = make("ul", { class: "filters", "aria-label": "States" });
    this.chips = new Map();
    this.field = make("input", { id: "search", type: "search", value: this.search, placeholder: "name, state, problem", autocomplete: "off", spellcheck: "false",
      on: { input: () => this.choose({ search: this.field.value }) } });
    this.select = make("select", { id: "sort", on: { change: () => this.choose({ sort: this.select.value }) } },
      COLUMNS.map((column) => make("option", { value: column.key }, column.key === "trouble" ? "Trouble first" : column.title)));
    this.select.value = this.sort;
    this.body = make("tbody");
    this.heads = new Map();
    this.table = make("table", { class: "agents" }, make("caption", { class: "unseen" }, "Agents"),
      make("thead", {}, make("tr", {}, COLUMNS.map((column) => this.head(column)))), this.body);
    this.pager = make("nav", { class: "pager", "aria-label": "Pages of agents" });
    this.none = make("p", { class: "empty", hidden: true }, "No agent is like this.");
    this.element = make("div", {},
      make("div", { class: "title" }, make("h1", {}, "Agents"), this.summary),
      make("div", { class: "tools", role: "search" },
        make("div", { class: "field" }, make("label", { for: "search" }, "Search"), this.field),
        make("div", { class: "field" }, make("label", { for: "sort" }, "Sort by"), this.select)),
      this.filters, this.table, this.none, this.pager);
  }

  head(column) {
    const button = make("button", { type: "button", class: "plain", on: { click: () => this.choose({ sort: column.key }) } }, column.title);
    const cell = make("th", { scope: "col", class: column.number ? `number wide-${column.wide ?? 0}` : null }, button);
    this.heads.set(column.key, cell);
    return cell;
  }

  choose(change) {
    Object.assign(this, { page: 1 }, change);
    const values = new URLSearchParams();
    if (this.search) values.set("search", this.search);
    if (this.state) values.set("state", this.state);
    if (this.sort !== "trouble") values.set("sort", this.sort);
    if (this.page > 1) values.set("page", this.page);
    history.replaceState(null, "", values.size ? `#/?${values}` : "#/");
    this.show();
  }

  async load() {
    clearTimeout(this.timer);
    const from = performance.now();
    try {
      const all = await get("/v1/agents");
      if (this.left) return;
      quiet(this);
      if (all !== this.loaded) this.agents = new Map(all.agents.map((agent) => [agent.name, agent]));
      this.loaded = all;
      this.supervisor = all.supervisor;
      this.show();
    } catch (problem) {
      if (!this.left) complain(problem.message, this);
    }
    if (this.left) return;
    // Ten thousand agents cost more to tell; between two tellings, events and single agents keep the page true.
    this.timer = setTimeout(() => (document.hidden ? this.wake() : this.load()), Math.max(REFRESH_MS, 20 * (performance.now() - from)));
  }

  wake() {
    document.addEventListener("visibilitychange", () => this.left || this.load(), { once: true });
  }

  hear(event) {
    if (event.event === "lost" || event.event === "reload_applied") this.load();
    const agent = this.agents.get(event.agent);
    if (!agent) return;
    if (event.event === "state" && event.to) agent.state = event.to;
    this.touched ??= new Set();
    if (this.rows.has(event.agent)) this.touched.add(event.agent);
    this.soon ??= setTimeout(() => this.catchUp(), 300);
  }

  // What events named and the page shows is asked for singly.
  async catchUp() {
    const names = [...(this.touched ?? [])].slice(0, 8);
    this.soon = null;
    this.touched = null;
    if (this.left || document.hidden) return;
    this.show();
    await Promise.all(names.map(async (name) => {
      const agent = await get(agentUrl(name)).catch(() => null);
      if (agent && this.agents.has(name)) this.agents.set(name, agent);
    }));
    if (!this.left) this.show();
  }

  show() {
    const all = [...this.agents.values()];
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((agent) => matches(agent, words));
    const chosen = sorted(found.filter((agent) => this.has(agent, this.state)), this.sort);
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    this.page = Math.min(this.page, pages);
    this.tell(all, chosen.length);
    this.showFilters(found);
    this.showRows(chosen.slice((this.page - 1) * PAGE, this.page * PAGE));
    this.showPager(pages, chosen.length);
    for (const [key, cell] of this.heads) {
      if (key === this.sort) cell.setAttribute("aria-sort", key === "name" ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
    this.select.value = this.sort;
    this.none.hidden = chosen.length > 0 || !this.loaded;
    this.table.hidden = chosen.length === 0;
  }

  has(agent, state) {
    return !state || (state === "look" ? needsLook(agent) : agent.state === state);
  }

  tell(all, chosen) {
    if (!this.loaded) return;
    const dead = all.filter(needsLook).length;
    const parts = [several(all.length, "agent"), dead ? `${count(dead)} need${dead === 1 ? "s" : ""} a look` : "all well"];
    const cost = all.reduce((sum, agent) => sum + (agent.cost_today ?? 0), 0);
    if (all.some((agent) => agent.cost_today !== null)) parts.push(`${money(cost)} spent today`);
    if (this.supervisor) parts.push(`up ${duration(this.supervisor.uptime_seconds)}`, `version ${visible(this.supervisor.version)}`);
    setText(this.summary, parts.join(" · "));
    if (this.told !== undefined && this.told !== chosen && document.activeElement === this.field) announce(`${several(chosen, "agent")} found`);
    this.told = chosen;
  }

  chip(key, title) {
    const number = make("span", { class: "count" });
    const button = make("button", { type: "button", "aria-pressed": "false", on: { click: () => this.choose({ state: this.state === key ? "" : key }) } });
    button.append(...(STATES[key] ? [stateBadge(key)] : [title]), " ", number);
    const item = make("li", {}, button);
    this.filters.append(item);
    return { item, button, number };
  }

  showFilters(found) {
    const counts = new Map([["", found.length], ["look", found.filter(needsLook).length]]);
    for (const agent of found) counts.set(agent.state, (counts.get(agent.state) ?? 0) + 1);
    for (const key of ["", "look", ...Object.keys(STATES)]) {
      if (!this.chips.has(key)) this.chips.set(key, this.chip(key, key === "" ? "All" : "Needs a look"));
      const { item, button, number } = this.chips.get(key);
      setText(number, count(counts.get(key) ?? 0));
      button.setAttribute("aria-pressed", String(this.state === key));
      item.hidden = key !== "" && !counts.get(key) && this.state !== key;
    }
  }

  showRows(agents) {
    const active = document.activeElement, rows = new Map();
    for (const agent of agents) {
      const here = this.rows.get(agent.name) ?? row(agent.name);
      here.update(agent);
      rows.set(agent.name, here);
    }
    const wanted = [...rows.values()].map((one) => one.element), present = this.body.children;
    if (wanted.length !== present.length || wanted.some((element, index) => element !== present[index])) this.body.replaceChildren(...wanted);
    this.rows = rows;
    if (active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
  }

  showPager(pages, number) {
    this.pager.hidden = pages < 2;
    this.back ??= this.step(-1, "Back");
    this.onward ??= this.step(1, "Next");
    this.where ??= make("span", { "aria-live": "polite" });
    if (!this.pager.children.length) this.pager.append(this.back, this.where, this.onward);
    setText(this.where, `${count((this.page - 1) * PAGE + 1)}–${count(Math.min(this.page * PAGE, number))} of ${count(number)}`);
    this.back.disabled = this.page === 1;
    this.onward.disabled = this.page === pages;
  }

  step(by, title) {
    return make("button", { type: "button", on: { click: () => { this.choose({ page: this.page + by }); this.table.scrollIntoView(); } } }, title);
  }

  leave() {
    this.left = true;
    this.stop();
    clearTimeout(this.timer);
    clearTimeout(this.soon);
  }
}

export function agentsView(values) {
  const list = new AgentList(values);
  return { title: "Agents", element: list.element, leave: () => list.leave() };
}
