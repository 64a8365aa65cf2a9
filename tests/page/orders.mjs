// Orders that system.mjs doesn't give, each by keyboard alone; what each does is seen in the system, and a refusal on the page.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { ask, run, show, tabTo } from "./browser.mjs";

const { PAGE_PROVIDER, PAGE_YAML } = process.env;
const items = async (path) => (await ask("GET", path)).items;
const allow = (line) => /status of (404|422)/.test(line);

// Presses the button, then the dialog's own; typed: into the dialog's first field.
async function press(one, selector, says, typed) {
  await tabTo(one, selector);
  await one.page.keyboard.press("Enter");
  await one.page.waitForSelector("dialog[open]");
  assert.match(await one.page.textContent("dialog p"), says);
  if (typed) await one.page.keyboard.type(typed);
  await tabTo(one, "dialog button[type=submit]");
  await one.page.keyboard.press("Enter");
  await one.page.waitForSelector("dialog[open]", { state: "detached" });
}

const line = (one, id, wanted) => one.page.waitForFunction(([place, text]) => document.getElementById(place).textContent.includes(text), [id, wanted]);

await run({
  "a message is sent": async (tab) => {
    const one = await tab();
    await show(one, "#/agents/iris", ".orders button");
    await press(one, ".orders button[data-key='Send a message']", /reads it in its next cycle/, "The names are sorted.");
    await line(one, "said", "is on its way");
    const [sent] = await items("/v1/envelopes?agent=iris&kind=message");
    assert.deepEqual([sent.from, sent.to, sent.body.trim()], ["operator", "iris", "The names are sorted."]);
  },

  "an item is put into a queue": async (tab) => {
    const one = await tab();
    await show(one, "#/queues", "button[data-key='enqueue-reviews']");
    await press(one, "button[data-key='enqueue-reviews']", /One of the queue's consumers gets it/, "Review the names");
    await line(one, "said", "The item is in reviews");
    const [item] = await items("/v1/envelopes?kind=item");
    assert.match(item.body, /^Review the names/);
  },

  "learning is undone by a new commit": async (tab) => {
    const one = await tab();
    assert.ok((await items("/v1/agents/orion/skills")).length > 0);
    const first = (await items("/v1/agents/orion/commits?limit=500")).at(-1);
    assert.equal(first.subject, "init: agent filesystem");
    await show(one, "#/agents/orion/diary", ".commit");
    await press(one, `button[data-key='Go back to here: ${first.commit.slice(0, 10)}']`, /answers, rewards and the queue stay/);
    await line(one, "said", "undone by a new commit");
    assert.deepEqual(await items("/v1/agents/orion/skills"), []);
    assert.ok((await items("/v1/agents/orion/rewards")).length > 0, "the rewards stay");
    assert.match((await items("/v1/agents/orion/log"))[0].subject, /^orion\(rollback\): to /);
  },

  "a provider is asked again at once": async (tab) => {
    const one = await tab();
    let told;
    const asked = new Promise((resolve) => { told = resolve; });
    const provider = http.createServer((request, response) => {
      told(Date.now());
      response.writeHead(503).end();
    });
    await show(one, "#/agents/vega", ".orders button[data-key='Ask provider again']");
    let until; // enough of the wait is left: it can't be its own end that asks
    do until = Date.parse(/until (\S+)\)/.exec((await ask("GET", "/v1/agents/vega")).detail ?? "")?.[1] ?? 0); while (until < Date.now() + 8000);
    await new Promise((resolve) => provider.listen(Number(PAGE_PROVIDER), "127.0.0.1", resolve));
    await press(one, ".orders button[data-key='Ask provider again']", /cut short/);
    await line(one, "said", "asks its provider again");
    assert.ok((await asked) < until);
    provider.closeAllConnections();
    provider.close();
  },

  "a dead letter is purged; an order that comes too late is refused, and that is said": async (tab) => {
    const one = await tab({ allow });
    const left = async () => (await items("/v1/envelopes?place=dead-letters")).map((letter) => letter.id).sort();
    await show(one, "#/agents/iris/dead-letters", ".envelope:nth-child(2)");
    assert.deepEqual(await left(), ["late-1", "late-2"]);
    await press(one, "button[data-key='Purge late-1']", /nobody can requeue it any more/);
    await line(one, "said", "is purged");
    assert.deepEqual(await left(), ["late-2"]);
    await tabTo(one, "button[data-key='Requeue late-2']");
    await one.page.keyboard.press("Enter");
    await ask("DELETE", "/v1/envelopes/late-2");
    await tabTo(one, "dialog button[type=submit]");
    await one.page.keyboard.press("Enter");
    await line(one, "complaint", "late-2");
    assert.deepEqual(await left(), []);
  },

  "agents.yaml is applied; one with a fault is refused, with the place": async (tab) => {
    const one = await tab({ allow });
    const before = fs.readFileSync(PAGE_YAML, "utf8");
    await show(one, "#/", ".agents tbody tr");
    await one.page.evaluate(() => [...document.querySelectorAll("#session button")].find((button) => /Apply/.test(button.textContent)).setAttribute("data-key", "apply"));
    fs.writeFileSync(PAGE_YAML, `colour: red\n${before}`);
    await press(one, "[data-key=apply]", /A file with a fault changes nothing/);
    await line(one, "complaint", "agents.yaml:1:");
    fs.writeFileSync(PAGE_YAML, before.replace("agents:", "agents:\n  - {name: nova, persona: Exact}"));
    await one.page.click("#complaint button");
    await press(one, "[data-key=apply]", /New agents are started/);
    await one.page.waitForFunction(() => document.getElementById("said").textContent !== "");
    await one.page.waitForSelector(".agents tbody a[href='#/agents/nova']");
    assert.equal((await ask("GET", "/v1/agents/nova")).name, "nova");
  },
});
