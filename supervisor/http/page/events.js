// The stream of events, read by fetch so that the token goes with it. One stream serves every view of the page.

import { request } from "./api.js";

const SILENCE_MS = 45000; // three beats of the server
const RETRY_MS = [500, 1000, 2000, 5000, 10000, 30000];
const readers = new Set();
const watchers = new Set();
let last = null, failures = 0, state = "connecting", controller = null;

function become(next) {
  state = next;
  for (const tell of watchers) tell(state);
}

// tell(event) for each event; "lost" and "connected" say that something may have been missed. Returns how to stop.
export function listen(tell) {
  readers.add(tell);
  return () => readers.delete(tell);
}

export function watchConnection(tell) {
  watchers.add(tell);
  tell(state);
}

function dispatch(event) {
  for (const tell of [...readers]) tell(event);
}

// One block of lines: "id:", "event:", "data:"; a comment is a beat.
function take(block) {
  let data = "";
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("id:")) last = value;
    else if (line.startsWith("data:")) data += value;
  }
  if (!data) return;
  try {
    dispatch(JSON.parse(data));
  } catch {
    dispatch({ event: "lost" });
  }
}

async function read(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "", silence;
  const beat = () => {
    clearTimeout(silence);
    silence = setTimeout(() => controller.abort(), SILENCE_MS);
  };
  try {
    for (beat(); ; beat()) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop();
      blocks.forEach(take);
    }
  } finally {
    clearTimeout(silence);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function follow() {
  for (;;) {
    try {
      controller = new AbortController();
      const response = await request("/v1/events", { signal: controller.signal, headers: last ? { "Last-Event-ID": last } : {} });
      if (!response.ok) throw new Error(`events: ${response.status}`);
      failures = 0;
      become("live");
      dispatch({ event: "connected" });
      await read(response);
    } catch {
      failures++;
    }
    become("away");
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
  }
}

// An event that concerns this agent, or everybody.
export function concerns(event, name) {
  return event.agent === undefined ? [event.from, event.to].includes(name) || event.from === undefined : event.agent === name || event.from === name || event.to === name;
}
