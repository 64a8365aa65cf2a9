// Figures and times as people read them.

import { make } from "./elements.js";

export function count(number) {
  return Number(number ?? 0).toLocaleString("en");
}

export function several(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// "3 h 12 min": the two largest units.
export function duration(seconds) {
  let left = Math.max(0, Math.floor(seconds ?? 0));
  const parts = [];
  for (const [unit, size] of UNITS) {
    if (left >= size || (unit === "s" && !parts.length)) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

export function bytes(number) {
  if (!number) return "–";
  const mega = number / 1048576;
  return mega >= 1024 ? `${(mega / 1024).toFixed(1)} GB` : `${mega < 10 ? mega.toFixed(1) : Math.round(mega)} MB`;
}

// In the operator's own currency, which nothing says. No price known: a dash, never 0.
export function money(cost) {
  if (cost === null || cost === undefined) return "–";
  return cost === 0 ? "0" : cost < 0.01 ? cost.toFixed(4) : cost.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

export function compact(number) {
  return Number(number ?? 0).toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function percent(part) {
  return `${Math.round(part * 100)} %`;
}

export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Number.isNaN(seconds)) return String(time ?? "–");
  return seconds < 0 ? `in ${duration(-seconds)}` : seconds < 2 ? "now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

// A time element: how long ago, and the exact time (UTC) for who points at it.
export function when(time) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return make("span", { class: "soft" }, "–");
  const exact = new Date(at).toISOString().replace("T", " ").replace(".000Z", " UTC");
  return make("time", { datetime: new Date(at).toISOString(), title: exact }, ago(time));
}

export function reward(value) {
  return value > 0 ? "+1" : value < 0 ? "−1" : value === 0 ? "0" : "–";
}

export function rewardWord(value) {
  return value > 0 ? "good" : value < 0 ? "bad" : "even";
}

export function agentPath(name, ...more) {
  return `#/agents/${[name, ...more].map(encodeURIComponent).join("/")}`;
}

export function envelopePath(id) {
  return `#/envelopes/${encodeURIComponent(id)}`;
}
