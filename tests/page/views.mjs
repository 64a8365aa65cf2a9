// Each view, light and dark, on a desk and on a phone: nothing that axe finds, nothing wider than the screen, a picture of it.

import assert from "node:assert/strict";
import { run, show, shot, barriers, COLOURS, tooWide, SIZES } from "./browser.mjs";
import { serve, world } from "./fake.mjs";

const NAMES = ["orion", "iris", "nova", "vega", "lyra", "atlas", "mira", "rigel", "altair", "deneb", "castor", "pollux", "carina", "electra"];
const made = world({ count: NAMES.length, name: (number) => NAMES[number] });
Object.assign(made.agents[0], { state: "working", detail: "working: rivers", pid: 4711, queue_depth: 2, tokens_today: 48210, requests_today: 31, cost_today: 0.42, tasks_done: 118, memory_bytes: 1800000 });
const server = await serve(made);

const VIEWS = {
  agents: ["#/", ".agents tbody tr"], agent: ["#/agents/orion", ".task"], learned: ["#/agents/vega/learned", ".skill"], diary: ["#/agents/vega/diary", ".commit"],
  "dead-letters": ["#/agents/vega/dead-letters", ".envelope"], "agent-cost": ["#/agents/vega/cost", ".chart"], envelopes: ["#/envelopes", ".envelope"],
  envelope: ["#/envelopes/20260429T10001-0000-00c0ffee", ".route li"], queues: ["#/queues", ".tiles li"], locks: ["#/locks", ".list li"], segments: ["#/segments", ".list li"], cost: ["#/cost", ".chart"],
  activity: ["#/activity", ".connection.live"],
};

const checks = {};
let one; // one tab for all views: what a view leaves behind would show in the next one

for (const [name, [place, ready]] of Object.entries(VIEWS))
  checks[`the view ${name} is for everybody`] = async (tab) => {
    one ??= await tab({ url: server.url, stays: true });
    await one.page.setViewportSize(SIZES.desk);
    await one.page.emulateMedia({ colorScheme: "light" });
    await show(one, place, ready);
    if (name === "diary") {
      await one.page.click(".commit:first-child summary");
      await one.page.waitForSelector(".diff ins");
    }
    if (name === "activity") {
      server.tell({ event: "state", agent: "iris", from: "idle", to: "working", time: "2026-04-29T10:00:00Z" });
      server.tell({ event: "envelope_failed", id: "20260429T10001-0000-00c0ffee", kind: "handoff", from: "orion", to: "iris", reason: "twice", time: "2026-04-29T10:00:00Z" });
      await one.page.waitForSelector(".activity li:nth-child(2)");
      assert.match(await one.page.textContent(".activity li:nth-child(1)"), /handoff 20260429T10001-0000-00c0ffee from orion to iris failed: twice/);
      assert.match(await one.page.textContent(".activity li:nth-child(2)"), /iris idle → working/);
    }
    if (CHARTS.includes(name)) await chartsAreTold(name);
    assert.deepEqual(await barriers(one), [], `${name}, light`);
    await shot(one, `${name}-light`);
    await one.page.emulateMedia({ colorScheme: "dark" });
    assert.deepEqual(await barriers(one, COLOURS), [], `${name}, dark`);
    await one.page.setViewportSize(SIZES.phone);
    assert.deepEqual(await tooWide(one), [], `${name} on a phone`);
    await shot(one, `${name}-phone-dark`);
  };

// Every drawing has a text that says the same, with its figures.
const CHARTS = ["agent", "agent-cost", "envelope", "learned", "cost"];
async function chartsAreTold(name) {
  const texts = await one.page.evaluate(() => [...document.querySelectorAll("main svg")].map((drawing) => drawing.getAttribute("aria-label") ?? document.getElementById(drawing.getAttribute("aria-labelledby"))?.textContent ?? ""));
  assert.ok(texts.length > 0 && texts.every((text) => /\d/.test(text)), `${name}: ${texts}`);
}

checks["what is wrong with an agent is said on a phone, which has no column for it"] = async (tab) => {
  const one = await tab({ url: server.url, size: SIZES.phone });
  await show(one, ...VIEWS.agents);
  assert.match(await one.page.locator(".agents tbody tr", { hasText: "atlas" }).innerText(), /2 dead letters/);
};

checks["the drawing of a route is legible on a phone, also when a desk's window becomes as narrow"] = async (tab) => {
  const one = await tab({ url: server.url });
  const letters = () => one.page.evaluate(() => Math.min(...[...document.querySelectorAll(".route-drawing text")].map((text) => text.getBoundingClientRect().height)));
  await show(one, ...VIEWS.envelope);
  assert.ok((await letters()) >= 12);
  await one.page.setViewportSize(SIZES.phone);
  await one.page.waitForFunction(() => Math.min(...[...document.querySelectorAll(".route-drawing text")].map((text) => text.getBoundingClientRect().height)) >= 12);
  assert.deepEqual(await tooWide(one), []);
};

checks["a list in pages goes on where somebody wants it, and stays there when something new comes"] = async (tab) => {
  const one = await tab({ url: server.url });
  await show(one, ...VIEWS.envelopes);
  assert.equal(await one.page.locator(".envelope").count(), 50);
  await one.page.focus("button.more:has-text('Show more')");
  await one.page.keyboard.press("Enter");
  await one.page.waitForFunction(() => document.querySelectorAll(".envelope").length === 100);
  assert.ok(await one.page.evaluate(() => document.activeElement === document.querySelectorAll(".envelope")[50]));
};

const allow = (line) => /ERR_|status of (404|409)/.test(line);

checks["an order that was refused says why until somebody closes it, whatever the page asks meanwhile"] = async (tab) => {
  const one = await tab({ url: server.url, allow });
  made.order = () => ({ status: 409, title: "Conflict", detail: "agents.yaml:3:5: no such key" });
  await show(one, ...VIEWS.agents);
  await one.page.click("#session button:has-text('Apply agents.yaml')");
  await one.page.click("dialog button[type=submit]");
  await one.page.waitForFunction(() => /no such key/.test(document.getElementById("complaint").textContent));
  made.agents[5].tasks_done = 987654;
  server.tell({ event: "reload_applied" });
  await one.page.waitForSelector(".agents td:has-text('987,654')");
  assert.match(await one.page.textContent("#complaint"), /no such key/);
  await one.page.click("#complaint button");
  assert.equal(await one.page.textContent("#complaint"), "");
};

checks["a complaint that nothing answers ends when AgentOS answers again"] = async (tab) => {
  const one = await tab({ url: server.url, allow });
  const locks = made.answers["/v1/locks"];
  made.answers["/v1/locks"] = () => undefined;
  await show(one, "#/locks", "#complaint span");
  made.answers["/v1/locks"] = locks;
  server.tell({ event: "lock_granted" });
  await one.page.waitForSelector(".list li");
  await one.page.waitForFunction(() => document.getElementById("complaint").textContent === "");
};

checks["a task whose answer is lost is sent again as the same task; a message is not, and the page says that it may have arrived"] = async (tab) => {
  const one = await tab({ url: server.url, allow });
  const keys = [];
  made.order = () => ({ status: 201, id: "task-1" });
  await one.page.route(/\/(tasks|messages)$/, (route) => {
    if (route.request().method() !== "POST") return route.continue();
    keys.push(route.request().headers()["idempotency-key"]);
    return keys.length === 1 ? route.abort() : route.continue();
  });
  const give = async (button) => {
    await one.page.click(`.orders button:has-text('${button}')`);
    await one.page.fill("#field-text", "Count the rivers.");
    await one.page.click("dialog button[type=submit]");
  };
  await show(one, ...VIEWS.agent);
  await give("Give a task");
  await one.page.waitForFunction(() => /Task task-1 is in the queue/.test(document.getElementById("said").textContent));
  assert.equal(keys.length, 2);
  assert.ok(keys[0] && keys[0] === keys[1]);
  keys.length = 0;
  await give("Send a message");
  await one.page.waitForFunction(() => /whether the order arrived is not known/.test(document.getElementById("complaint").textContent));
  assert.deepEqual(keys, [undefined]);
};

await run(checks);
server.close();
