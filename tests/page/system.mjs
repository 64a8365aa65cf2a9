// The page against a whole system: the token, what is live, every order by keyboard alone, dead letters.

import assert from "node:assert/strict";
import { ask, run, show, shot, tabTo, TOKEN, URL_OF_PAGE } from "./browser.mjs";

const agent = (name) => ask("GET", `/v1/agents/${name}`);
const refusals = { allow: (line) => line.includes("status of 401") };

async function badge(one, text) {
  await one.page.waitForFunction((wanted) => document.querySelector(".badge .state")?.textContent.includes(wanted), text);
}

await run({
  "the token is asked for once, kept for the tab and sent with every request": async (tab) => {
    const one = await tab({ token: null, ...refusals });
    const bare = [];
    let known = false;
    one.page.on("request", (request) => request.url().includes("/v1/") && known && request.headers().authorization !== `Bearer ${TOKEN}` && bare.push(request.url()));
    await show(one, "#/", "dialog #token");
    assert.equal(await one.page.locator("dialog").count(), 1);
    assert.match(await one.page.textContent("dialog"), /AGENTOS_TOKEN_FILE/);
    assert.equal(await one.page.inputValue("#sort"), "trouble");
    await one.page.keyboard.type("wrong");
    await one.page.keyboard.press("Enter");
    await one.page.waitForSelector("dialog [role=alert]");
    await shot(one, "token");
    known = true;
    await one.page.keyboard.type(TOKEN);
    await one.page.keyboard.press("Enter");
    await one.page.waitForSelector(".agents tbody tr");
    await one.page.waitForSelector(".connection.live");
    await one.page.reload();
    await one.page.waitForSelector(".agents tbody tr");
    await one.page.click("#views a[data-view=locks]");
    await one.page.waitForSelector("h1:has-text('Locks')");
    assert.equal(await one.page.locator("dialog").count(), 0);
    assert.deepEqual(bare, []);
    assert.deepEqual(await one.page.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
    const other = await one.page.context().newPage();
    await other.goto(`${URL_OF_PAGE}/`);
    await other.waitForSelector("dialog #token");
    await one.page.click("text=Forget the token");
    await one.page.waitForSelector("dialog #token");
    assert.equal(await one.page.evaluate(() => sessionStorage.length), 0);
  },

  "what happens is seen without a reload": async (tab) => {
    const one = await tab();
    await show(one, "#/agents/iris", ".badge .state");
    await one.page.waitForSelector(".connection.live");
    await ask("POST", "/v1/agents/iris/pause");
    await badge(one, "paused");
    await ask("POST", "/v1/agents/iris/resume");
    await badge(one, "idle");
    await show(one, "#/", ".agents tbody tr");
    await ask("POST", "/v1/agents/iris/stop");
    await one.page.waitForFunction(() => [...document.querySelectorAll(".agents tbody tr")].some((row) => /iris[\s\S]*stopped/.test(row.textContent)));
    await ask("POST", "/v1/agents/iris/start");
  },

  "an order is given by keyboard alone, and what it will do is said before": async (tab) => {
    const one = await tab();
    await show(one, "#/", ".agents tbody tr");
    await one.page.keyboard.press("Tab");
    assert.ok(await one.page.evaluate(() => document.activeElement.matches(".skip")));
    await one.page.keyboard.press("Enter");
    await tabTo(one, ".agents tbody a[href='#/agents/iris']");
    await one.page.keyboard.press("Enter");
    await badge(one, "idle");
    assert.ok(await one.page.evaluate(() => document.activeElement.id === "main"));
    await tabTo(one, ".orders button[data-key='Pause']");
    await one.page.keyboard.press("Enter");
    await one.page.waitForSelector("dialog[open]");
    assert.match(await one.page.textContent("dialog p"), /begins no other until it is resumed/);
    await shot(one, "order");
    await one.page.keyboard.press("Escape");
    assert.ok(await one.page.evaluate(() => document.activeElement.dataset.key === "Pause"), "the focus is where it was");
    assert.equal((await agent("iris")).state, "idle");
    await one.page.keyboard.press("Enter");
    await tabTo(one, "dialog button[type=submit]");
    await one.page.keyboard.press("Enter");
    await one.page.waitForFunction(() => /is paused/.test(document.getElementById("said").textContent));
    await badge(one, "paused");
    assert.equal((await agent("iris")).state, "paused");
    await tabTo(one, ".orders button[data-key='Resume']");
    await one.page.keyboard.press("Enter");
    await tabTo(one, "dialog button[type=submit]");
    await one.page.keyboard.press("Enter");
    await badge(one, "idle");
    for (const [order, state] of [["Stop", "stopped"], ["Start", "idle"]]) {
      await one.page.click(`.orders button[data-key='${order}']`);
      await one.page.click("dialog button[type=submit]");
      await badge(one, state);
    }
    const before = (await agent("iris")).pid;
    for (const order of ["Restart", "Kill"]) {
      await one.page.waitForSelector(`.orders button[data-key='${order}']`);
      await one.page.click(`.orders button[data-key='${order}']`);
      await one.page.click("dialog button[type=submit]");
      await one.page.waitForFunction((title) => new RegExp(title === "Kill" ? "was killed" : "was restarted").test(document.getElementById("said").textContent), order);
    }
    assert.notEqual((await agent("iris")).pid, before);
  },

  "a task is given, seen in the queue and cancelled": async (tab) => {
    const one = await tab();
    await show(one, "#/agents/orion", ".task");
    assert.match(await one.page.textContent(".task.working"), /rivers/);
    await one.page.click("text=Give a task");
    await one.page.fill("#field-text", "Say <b>hello</b>\n## no-task\ntask: of its own");
    await one.page.selectOption("#field-priority", "low");
    await one.page.fill("#field-id", "from-the-page");
    await one.page.click("dialog button[type=submit]");
    const item = one.page.locator(".task", { hasText: "from-the-page" });
    await item.waitFor();
    assert.match(await item.textContent(), /Say <b>hello<\/b>\n## no-task/);
    await shot(one, "system-agent");
    await item.locator("button").click();
    await one.page.click("dialog button[type=submit]");
    await item.waitFor({ state: "detached" });
    assert.deepEqual((await ask("GET", "/v1/agents/orion/tasks")).items.map((one) => one.id), ["map", "rivers"]);
  },

  "a handoff's whole route is drawn, and the diary shows what a commit changed": async (tab) => {
    const one = await tab();
    await show(one, "#/agents/iris/envelopes", ".envelope");
    await one.page.locator(".envelope", { hasText: "Count the pages of chapter two." }).locator("a.id").first().click();
    await one.page.waitForSelector(".route li");
    assert.match(await one.page.getAttribute(".route-drawing", "aria-label"), /orion: created.*iris: delivered.*iris: finished/);
    await shot(one, "system-envelope");
    await show(one, "#/agents/orion/diary", ".commit");
    const entry = one.page.locator(".commit", { hasText: "orion(task): count-pages" });
    await entry.locator("summary").click();
    await entry.locator(".diff ins").first().waitFor();
    assert.match(await entry.textContent(), /skills\.md changed|skills\.md new/);
    await shot(one, "system-diary");
    await show(one, "#/agents/orion/learned", ".skill");
    assert.match(await one.page.textContent(".skill"), /1 success[\s\S]*100 % left · half-life 30 days/);
    await show(one, "#/cost", ".chart");
    assert.match(await one.page.textContent("figcaption"), /tokens in 30 days/);
  },

  "a dead letter is found and requeued": async (tab) => {
    const one = await tab();
    await show(one, "#/", ".agents tbody tr");
    await one.page.click(".filters button:has-text('Needs a look')");
    await one.page.click(".agents tbody a");
    await one.page.click(".tabs a:has-text('Dead letters')");
    await one.page.waitForSelector(".envelope");
    assert.match(await one.page.textContent(".envelope"), /Too late to read this.*it was not read within 3600 s/s);
    await one.page.click(".envelope button:has-text('Requeue')");
    assert.match(await one.page.textContent("dialog p"), /delivered once more/);
    await one.page.click("dialog button[type=submit]");
    await one.page.waitForFunction(() => /No dead letter/.test(document.querySelector(".section").textContent));
    assert.equal((await agent("nova")).dead_letters, 0);
  },
});
