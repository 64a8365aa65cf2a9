// A view that is asked for again while it is looked at: after events, and now and then.

import { complain, quiet } from "./elements.js";
import { listen } from "./events.js";

const REFRESH_MS = 15000, SETTLE_MS = 600;

// wants(event): does it change what the view shows?
export function liveView({ title, element, refresh, wants = () => true, ...more }) {
  let left = false, soon, timer;
  const again = async () => {
    clearTimeout(timer);
    clearTimeout(soon);
    soon = null;
    if (!document.hidden) await refresh().then(() => left || quiet(again), (problem) => left || complain(problem.message, again));
    if (!left) timer = setTimeout(again, REFRESH_MS);
  };
  const stop = listen((event) => {
    if (event.event === "lost" || wants(event)) soon ??= setTimeout(again, SETTLE_MS);
  });
  again();
  return { title, element, again, ...more, leave: () => { left = true; stop(); clearTimeout(timer); clearTimeout(soon); } };
}
