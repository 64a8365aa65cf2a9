// Ten thousand agents.

import assert from "node:assert/strict";
import { run, show, shot, barriers, tooWide, SIZES } from "./browser.mjs";
import { serve, world } from "./fake.mjs";

const made = world({ count: 10000 });
const server = await serve(made);
const rows = (one) => one.page.locator(".agents tbody tr");
const first = (one) => rows(one).first().locator("a").textContent();

await run({
  "ten thousand agents: those in trouble first, a hundred on a page": async (tab) => {
    const one = await tab({ url: server.url });
    await show(one, "#/", ".agents tbody tr");
    assert.match(await one.page.textContent(".summary"), /^10,000 agents/);
    assert.equal(await rows(one).count(), 100);
    assert.equal(await rows(one).first().locator(".state").textContent(), "▲ failed");
    await one.page.click(".pager button:last-child");
    assert.match(await one.page.textContent(".pager span"), /101–200 of 10,000/);
    await shot(one, "agents-10000");
  },

  "ten thousand agents are searched and filtered while one types": async (tab) => {
    const one = await tab({ url: server.url });
    await show(one, "#/", ".agents tbody tr");
    const took = await one.page.evaluate(async () => {
      const field = document.getElementById("search"), from = performance.now();
      field.value = "agent-0777";
      field.dispatchEvent(new Event("input", { bubbles: true }));
      return performance.now() - from;
    });
    assert.ok(took < 400 * Number(process.env.AGENTOS_TEST_PATIENCE ?? 1), `a letter took ${took} ms`);
    console.log(`        a letter of the search: ${took.toFixed(0)} ms`);
    assert.equal(await rows(one).count(), 10);
    await one.page.fill("#search", "");
    await one.page.click(".filters button:has-text('failed')");
    assert.equal(await rows(one).count(), made.agents.filter((agent) => agent.state === "failed").length);
    assert.ok((await rows(one).locator(".state").allTextContents()).every((text) => text === "▲ failed"));
    assert.match(one.page.url(), /state=failed/);
    await one.page.click(".filters button:has-text('All')");
    await one.page.selectOption("#sort", "cost");
    assert.match(await rows(one).first().textContent(), /(?<![\d$])0\.39/);
  },

  "a state that changes is seen at once, without asking for ten thousand again": async (tab) => {
    const one = await tab({ url: server.url });
    await show(one, "#/?search=agent-00011", ".agents tbody tr");
    await one.page.waitForSelector(".connection.live");
    const before = server.asked.filter((line) => line === "GET /v1/agents").length;
    Object.assign(made.agents[11], { state: "failed", dead_letters: 4 });
    server.tell({ event: "state", agent: "agent-00011", from: "idle", to: "failed" });
    await one.page.waitForFunction(() => document.querySelector(".agents .state").textContent === "▲ failed");
    await one.page.waitForFunction(() => document.querySelectorAll(".agents tbody td")[3].textContent === "4");
    assert.ok(server.asked.filter((line) => line === "GET /v1/agents").length <= before + 1);
    assert.ok(server.asked.includes("GET /v1/agents/agent-00011"));
  },

  "ten thousand agents fit on a phone": async (tab) => {
    const one = await tab({ url: server.url, size: SIZES.phone, dark: true });
    await show(one, "#/", ".agents tbody tr");
    assert.deepEqual(await tooWide(one), []);
    await shot(one, "agents-10000-phone-dark");
    await one.page.fill("#search", "agent-0777");
    assert.deepEqual(await barriers(one), []);
  },
});
server.close();
