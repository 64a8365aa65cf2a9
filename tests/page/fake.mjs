// A server that tells what /v1 would tell of a world made up here: ten thousand agents, or hostile texts in every field. The
// page's own files and their headers come from the agentos-http that is under test.

import http from "node:http";
import { URL_OF_PAGE, TOKEN } from "./browser.mjs";

const STATES = ["idle", "hibernating", "hibernating", "hibernating", "hibernating", "hibernating", "working", "idle", "waiting", "stopped"];
const at = (minutes) => new Date(Date.now() - 3 * 3600000 + minutes * 60000).toISOString().replace(/\.\d+Z/, "Z");

export function agent(name, number, more = {}) {
  const state = number % 997 === 3 ? "failed" : number % 501 === 7 ? "backoff" : STATES[number % STATES.length];
  const problems = state === "failed" ? ["its worker has ended 9 time(s) in a row, the last time with signal 9, which means out of memory (limits.memory_mb is 64)"] : [];
  return {
    name, state, detail: problems[0] ?? (state === "working" ? `working: task-${number}` : null), pid: state === "working" ? 1000 + number : null, uptime_seconds: number * 7,
    restarts: state === "failed" ? 9 : 0, last_exit: null, queue_depth: state === "working" ? (number % 5) + 1 : 0, inbox_depth: number % 3, handoff_depth: 0, outbox_depth: 0,
    dead_letters: number % 700 === 5 ? 2 : 0, throughput_class: "medium", negative_streak: number % 611 === 9 ? 3 : 0, tasks_done: number % 53, tokens_today: (number * 37) % 90000,
    cached_tokens_today: 0, requests_today: number % 40, cost_today: number % 40 ? (number % 40) / 100 : 0, memory_bytes: state === "working" ? 1500000 : 0, problems, ...more,
  };
}

// text(kind): what stands in a field that agents, models or strangers write.
export function world({ count = 3, name = (number) => `agent-${String(number).padStart(5, "0")}`, text = (kind) => kind } = {}) {
  const agents = Array.from({ length: count }, (_, number) => agent(name(number), number));
  const envelope = (number, more = {}) => ({
    id: text(`20260429T1000${number}-0000-00c0ffee`), kind: ["handoff", "message", "result"][number % 3], from: agents[0].name, to: text(agents[1 % count].name), created: at(-number), ttl_seconds: 600,
    priority: "normal", status: number % 4 === 1 ? "expired" : "finished", attempts: 1, hops: 1, trace: text("report"), reason: number % 4 === 1 ? text("it was not read within 600 s") : undefined,
    body: text("Count the pages of chapter two."), path: text("agents/iris/iac/archive/x.md"), owner: "iris", place: number % 4 === 1 ? "dead-letters" : "archive", ...more,
  });
  const commit = (number) => ({
    commit: `${number}`.padStart(40, "a"), time: at(-10 * number), author: text("iris"), subject: text(`iris(task): task-${number}`), body: text("reward: +1\nreason: counted twice"), task: text(`task-${number}`), end: "done",
    reward: (number % 3) - 1, tokens: 900, audit: null, audit_commit: null,
    files: [{ path: text("skills.md"), old_path: null, change: "modified", added: 2, removed: 1 }, { path: text("picture.png"), old_path: null, change: "added", added: null, removed: null }],
  });
  const envelopes = Array.from({ length: 120 }, (_, number) => envelope(number)), commits = Array.from({ length: 120 }, (_, number) => commit(number));
  const paged = (items, values) => {
    const from = Number(values.get("cursor") ?? 0), limit = Number(values.get("limit") ?? 50);
    return { items: items.slice(from, from + limit), next: from + limit < items.length ? String(from + limit) : null };
  };
  const day = (number) => ({ day: at((number - 29) * 1440).slice(0, 10), tasks: number, tokens: 1000 * number, tokens_in: 800 * number, tokens_out: 200 * number, cached_tokens: 0, audit_tokens: 0, requests: number, cost: (2 + Math.sin(number) + (number % 7) / 3) / 4 });
  const days = Array.from({ length: 30 }, (_, number) => day(number));
  const route = [["orion", "accepted"], [agents[1 % count].name, "delivered"], [agents[1 % count].name, "read"], [agents[1 % count].name, "finished"], [agents[0].name, "result read"]].map(([who, what], number) =>
    ({ time: at(number), agent: text(who), what: text(what), commit: "c".repeat(40), subject: text("iris(task): report") }));
  const answers = {
    "/v1/agents": () => ({ supervisor: { pid: 1, uptime_seconds: 93784, version: text("0.1.0"), sandbox: {}, problems: [] }, agents }),
    "/v1/agents/:": (values, who) => agents.find((one) => one.name === who),
    "/v1/agents/:/tasks": () => ({ items: ["high", "normal"].map((priority, number) => ({ id: text(["rivers", "map"][number]), task: text(["Write a page about the three longest rivers of Europe, with their sources and mouths.", "Draw the map for it."][number]), priority, created: at(0), ttl_seconds: 0, lock: text("atlas"), from: null, problem: null })), count: 2 }),
    "/v1/agents/:/rewards": () => ({ items: Array.from({ length: 30 }, (_, number) => ({ task: text(`task-${number}`), reward: [1, 1, 0, 1, -1, 1, 1][number % 7], audit_score: number % 9 === 4 ? -1 : "none", at: at(number), reason: text("it went so"), tokens: 900 })) }),
    "/v1/agents/:/goals": () => ({ items: [{ goal: text("Check the input first"), done: false }, { goal: text("Answer in one page"), done: true }] }),
    "/v1/agents/:/skills": () => ({ items: [0.98, 0.61, 0.22].map((decay, number) => ({ name: text(`skill-${number}`), description: text("When pages are to be counted."), reward_evidence: 3 - number, last_success: at(0), created: at(0), decay, halflife_days: 30, body: text("Count twice.") })) }),
    "/v1/agents/:/reflections": () => ({ items: [{ task: text("task-1"), body: text("Small steps helped.") }] }),
    "/v1/agents/:/commits": (values) => paged(commits, values),
    "/v1/agents/:/commits/:": () => ({ ...commit(1), files: [{ path: text("skills.md"), old_path: null, change: "modified", added: 2, removed: 1, diff: `@@ -1,3 +1,4 @@\n ### count-pages\n-${text("- reward_evidence: 1")}\n+${text("- reward_evidence: 2")}\n+${text("- last_success: today")}\n`, cut: true }, { path: text("picture.png"), old_path: null, change: "added", added: null, removed: null, diff: null }], more_files: 3 }),
    "/v1/agents/:/usage": () => ({ items: days }),
    "/v1/usage": () => ({ items: days, agents: agents.slice(0, 500).map((one, number) => ({ agent: one.name, ...day(number % 30) })) }),
    "/v1/envelopes": (values) => paged(envelopes.filter((one) => !values.get("place") || one.place === values.get("place")), values),
    "/v1/envelopes/:": (values, id) => ({ ...(envelopes.find((one) => one.id === id) ?? envelope(1)), copies: [{ path: text("agents/iris/iac/dead-letter/x.md"), status: "finished" }], route, answers: [envelope(2)], of_trace: [envelope(3)], cost: { trace: text("report"), complete: true, hands: [], tokens: 1910, cost: 0.02 } }),
    "/v1/queues": (values) => ({ queues: [{ queue: "reviews", items: 3 }], ...paged(envelopes.slice(0, 60).map((one) => ({ ...one, kind: "item", queue: "reviews", place: "queue", owner: "reviews" })), values) }),
    "/v1/locks": () => ({ items: [{ name: "atlas", holder: text("orion: rivers"), agent: text("orion"), task: text("rivers"), token: 4, since: at(0), lease_until: at(15), waiters: [text("iris: map")], body: text("Held."), path: text("shared/locks/atlas.md") }, { name: "free", holder: null, token: 3, waiters: [], body: "", path: "shared/locks/free.md" }] }),
    "/v1/segments": () => ({ items: [{ name: "glossary", version: 7, updated: at(0), by: text("nova"), writes: [text("x")], body: text("Chapter: a part of the report."), path: text("shared/segments/glossary.md") }] }),
  };
  return { agents, answers };
}

function answerOf(answers, url) {
  const pieces = url.pathname.split("/").map(decodeURIComponent);
  for (const [pattern, of] of Object.entries(answers)) {
    const wanted = pattern.split("/");
    if (wanted.length === pieces.length && wanted.every((piece, index) => piece === ":" || piece === pieces[index])) return of(url.searchParams, ...pieces.filter((_, index) => wanted[index] === ":"));
  }
  return undefined;
}

// made.order(request, url): what an order is answered with, if not that it is done.
// {url, tell(event), asked: [method and path], close()}
export async function serve(made) {
  const streams = new Set(), asked = [];
  let number = 0;
  const reply = (response, status, object) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(object));
  };
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, "http://here");
    asked.push(`${request.method} ${url.pathname}`);
    if (!url.pathname.startsWith("/v1/")) {
      const real = await fetch(URL_OF_PAGE + url.pathname);
      const headers = Object.fromEntries([...real.headers].filter(([name]) => !["connection", "date", "keep-alive", "transfer-encoding"].includes(name)));
      response.writeHead(real.status, headers);
      response.end(Buffer.from(await real.arrayBuffer()));
    } else if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      reply(response, 401, { status: 401, title: "Unauthorized" });
    } else if (url.pathname === "/v1/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(":\n\n");
      streams.add(response);
      request.on("close", () => streams.delete(response));
    } else if (request.method !== "GET") {
      const told = made.order?.(request, url);
      reply(response, told?.status ?? 200, told ?? { said: "done" });
    } else {
      const told = answerOf(made.answers, url);
      reply(response, told ? 200 : 404, told ?? { status: 404, title: "Not Found", detail: "there is nothing" });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const tell = (event) => { for (const stream of streams) stream.write(`id: 1-${++number}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`); };
  return { url: `http://127.0.0.1:${server.address().port}`, tell, asked, streams, close: () => { server.closeAllConnections(); server.close(); } };
}
