// The page's frame: which view the address names, and what stands above every view.

import { make, replace, quiet, complain, announce } from "./elements.js";
import { follow, watchConnection } from "./events.js";
import { token, forgetToken } from "./token.js";
import { send } from "./api.js";
import { confirmed } from "./dialog.js";
import { agentsView } from "./agents.js";
import { agentView } from "./agent.js";
import { envelopesView } from "./envelopes.js";
import { envelopeView } from "./envelope.js";
import { queuesView, locksView, segmentsView } from "./shared.js";
import { usageView } from "./usage.js";
import { activityView } from "./activity.js";

const VIEWS = [
  ["agents", "Agents", agentsView, agentView],
  ["envelopes", "Envelopes", envelopesView, envelopeView],
  ["queues", "Queues", queuesView],
  ["locks", "Locks", locksView],
  ["segments", "Segments", segmentsView],
  ["cost", "Cost", usageView],
  ["activity", "Activity", activityView],
];

let current = null, place = "";

// "#/agents/iris/diary?page=2": pieces and values.
function address() {
  const [path, values] = location.hash.replace(/^#\/?/, "").split("?");
  let pieces;
  try {
    pieces = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    pieces = [];
  }
  return { pieces, values: new URLSearchParams(values) };
}

function nothingHere() {
  return { title: "Nothing here", element: make("p", { class: "empty" }, "There is no such view. ", make("a", { href: "#/" }, "All agents")) };
}

function viewOf({ pieces, values }) {
  const [name = "agents", ...rest] = pieces;
  const found = VIEWS.find(([key]) => key === name);
  if (!found) return nothingHere();
  const [, , many, one] = found;
  return rest.length && one ? one(rest, values) : many(values);
}

function mark(name) {
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// The focus goes to the new view, as it would with a new page; not for a change within the same one.
function show() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const where = address();
  const main = document.getElementById("main"), [name = "agents", ...rest] = where.pieces;
  const same = place === `${name}/${rest[0] ?? ""}`;
  if (same && current?.turn?.(where.pieces.slice(1), where.values)) return;
  current?.leave?.();
  quiet();
  current = viewOf(where);
  const first = place === "";
  place = `${name}/${rest[0] ?? ""}`;
  document.title = `${current.title} · AgentOS`;
  replace(main, current.element);
  mark(name);
  if (first) return;
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

async function reload() {
  const yes = await confirmed({
    title: "Apply agents.yaml?", act: "Apply it",
    text: "The file is read again. New agents are started, agents that are gone from the file are stopped, and agents that changed are restarted. A file with a fault changes nothing.",
  });
  if (!yes) return;
  try {
    const done = await send("POST", "/v1/reload");
    announce(done.said || "agents.yaml is applied.");
  } catch (problem) {
    complain(problem.message);
  }
}

const CONNECTION = { live: "live", away: "connecting again", connecting: "connecting" };

function session() {
  const light = make("span", { class: "connection" });
  const leave = make("button", { type: "button", class: "plain", on: { click: () => { forgetToken(); location.reload(); } } }, "Forget the token");
  watchConnection((state) => {
    light.className = `connection ${state}`;
    light.textContent = CONNECTION[state];
    leave.hidden = !token();
  });
  return [light, make("button", { type: "button", class: "plain", on: { click: reload } }, "Apply agents.yaml"), leave];
}

function begin() {
  document.getElementById("views").replaceChildren(...VIEWS.map(([key, title]) =>
    make("li", {}, make("a", { href: key === "agents" ? "#/" : `#/${key}`, "data-view": key }, title))));
  document.getElementById("session").replaceChildren(...session());
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  window.addEventListener("hashchange", show);
  show();
  follow();
}

begin();
