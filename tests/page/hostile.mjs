// Every field holds what somebody would write who wants to get out of it.

import assert from "node:assert/strict";
import { run, show, shot, tooWide, SIZES } from "./browser.mjs";
import { serve, world } from "./fake.mjs";

const MARKUP = `"><img src=x onerror="window.taken=1"><script>window.taken=1</script><style>*{display:none}</style></title></textarea><svg onload=window.taken=1>{{7*7}}\${7*7}`;
const TURNED = "\u202e\u2066gnp.exe\u202d\u0000\u001b[31m\u200b";
const LONG = "W".repeat(6000);
const text = (kind) => `${kind} ${MARKUP} ${TURNED} ${LONG}`;

const VIEWS = {
  agents: ["#/", ".agents tbody tr"], now: ["#/agents/agent-00000", ".task"], learned: ["#/agents/agent-00000/learned", ".skill"], diary: ["#/agents/agent-00000/diary", ".commit"],
  letters: ["#/agents/agent-00000/dead-letters", ".envelope"], cost: ["#/agents/agent-00000/cost", ".chart"], envelopes: ["#/envelopes", ".envelope"], envelope: [`#/envelopes/${encodeURIComponent(text("x"))}`, ".route li"],
  queues: ["#/queues", ".tiles li"], locks: ["#/locks", ".list li"], segments: ["#/segments", ".list li"], usage: ["#/cost", ".chart"],
};

async function untouched(one) {
  const found = await one.page.evaluate(() => ({
    taken: window.taken ?? null, scripts: document.querySelectorAll("script").length, images: document.querySelectorAll("img").length, styles: document.querySelectorAll("style, [style]").length,
    handlers: [...document.querySelectorAll("*")].filter((element) => [...element.attributes].some((attribute) => attribute.name.startsWith("on"))).length,
    links: [...document.querySelectorAll("a")].map((link) => link.getAttribute("href")).filter((href) => !href.startsWith("#")),
    turning: /[\u202a-\u202e\u2066-\u2069\u0000-\u0008]/.test(document.body.textContent),
  }));
  assert.deepEqual(found, { taken: null, scripts: 1, images: 1, styles: 0, handlers: 0, links: [], turning: false });
}

const made = world({ text });
made.agents[0].detail = text("working: task");
made.agents[0].problems = [text("a problem")];
made.agents[0].last_exit = text("signal");
const server = await serve(made);

await run({
  "hostile texts are text in every view, and make none of them wider than the screen": async (tab) => {
    for (const [size, dark] of [["phone", false], ["desk", true]]) {
      const one = await tab({ url: server.url, size: SIZES[size], dark });
      for (const [name, [place, ready]] of Object.entries(VIEWS)) {
        await show(one, place, ready);
        await one.page.evaluate(() => document.querySelectorAll("main details").forEach((fold) => { fold.open = true; }));
        if (name === "diary") await one.page.waitForSelector(".diff ins");
        await untouched(one);
        assert.deepEqual(await tooWide(one), [], `${name} on a ${size}`);
        if (name === "now" || name === "envelopes") await shot(one, `hostile-${name}-${size}`);
      }
    }
  },

  "hostile events are text": async (tab) => {
    const one = await tab({ url: server.url });
    await show(one, "#/activity", ".connection.live");
    server.tell({ event: text("state"), agent: text("x"), time: text("now"), id: text("id"), [text("key")]: text("value"), deep: { a: [text("b")] } });
    server.tell({ event: "state", agent: "agent-00000", from: "idle", to: text("working") });
    await one.page.waitForSelector(".activity li:nth-child(2)");
    await untouched(one);
    assert.deepEqual(await tooWide(one), []);
    await show(one, "#/", ".agents tbody tr");
    server.tell({ event: "state", agent: "agent-00000", from: "idle", to: text("working") });
    await one.page.waitForFunction(() => document.querySelector(".agents .state")?.textContent.includes("W"));
    await untouched(one);
  },

  "a refusal that is hostile is text": async (tab) => {
    const one = await tab({ url: server.url, allow: (line) => line.includes("status of 404") });
    made.answers["/v1/agents/:"] = () => undefined;
    await show(one, "#/agents/%3Cimg%20src%3Dx%20onerror%3Dwindow.taken%3D1%3E", "#complaint span");
    await untouched(one);
  },
});
server.close();
