// Drawings of figures (SVG), each with a text that says the same.

import { make, draw, visible } from "./elements.js";
import { money, compact, count, reward, percent } from "./words.js";

let number = 0;

// A figure: the drawing for the eye, a sentence for everybody, the numbers as a table for who wants them.
function figure(drawing, sentence, head, rows, key) {
  const id = `figure-${++number}`;
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-labelledby", id);
  return make("figure", {}, drawing, make("figcaption", { id }, sentence),
    rows.length > 0 && make("details", { "data-key": key }, make("summary", {}, "The figures"),
      make("table", { class: "plain-table" }, make("thead", {}, make("tr", {}, head.map((title) => make("th", { scope: "col" }, title)))),
        make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, index) => make(index ? "td" : "th", index ? { class: "number" } : { scope: "row", dir: "auto" }, visible(cell)))))))));
}

const W = 640, H = 150, PAD = 26;

function shape(value, x, y) {
  if (value > 0) return draw("path", { class: "good", d: `M${x} ${y - 5}l5 9h-10z` });
  if (value < 0) return draw("path", { class: "bad", d: `M${x} ${y + 5}l5 -9h-10z` });
  return draw("circle", { class: "even", cx: x, cy: y, r: 4 });
}

function means(values, width = 7) {
  return values.map((_, index) => {
    const part = values.slice(Math.max(0, index - width + 1), index + 1);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

// rewards: as /v1 tells them, newest first.
export function rewardCurve(rewards) {
  const items = [...rewards].reverse();
  const step = (W - PAD - 12) / Math.max(1, items.length - 1 || 1), at = (index) => PAD + 6 + index * step;
  const level = (value) => H / 2 - value * (H / 2 - 18);
  const values = items.map((item) => item.reward ?? 0), curve = means(values);
  const drawing = draw("svg", { class: "chart", viewBox: `0 0 ${W} ${H}` },
    [1, 0, -1].map((value) => [draw("line", { class: value ? "grid" : "axis", x1: PAD, x2: W, y1: level(value), y2: level(value) }),
      draw("text", { x: PAD - 6, y: level(value) + 4, "text-anchor": "end" }, reward(value))]).flat(),
    draw("polyline", { class: "curve", points: curve.map((value, index) => `${at(index).toFixed(1)},${level(value).toFixed(1)}`).join(" ") }),
    items.map((item, index) => shape(values[index], at(index), level(values[index]))),
    items.map((item, index) => typeof item.audit_score === "number" && item.audit_score !== item.reward &&
      draw("circle", { class: "audit", cx: at(index), cy: level(item.audit_score), r: 7 })));
  const of = (value) => values.filter((one) => Math.sign(one) === value).length;
  const disputed = items.filter((item) => typeof item.audit_score === "number" && item.audit_score !== item.reward).length;
  const sentence = `The last ${items.length === 1 ? "task" : `${count(items.length)} tasks, oldest first`}: ${of(1)} earned +1, ${of(0)} earned 0, ${of(-1)} earned −1; mean of the last seven ${(curve.at(-1) ?? 0).toFixed(2)}.` +
    (disputed ? ` The audit disputes ${disputed} (rings).` : "");
  return figure(drawing, sentence, ["Task", "Reward", "Audit", "Reason"], items.map((item) => [item.task, reward(item.reward), reward(item.audit_score), item.reason]), "rewards");
}

// days: {day, cost, tokens, …}, the oldest first.
export function costBars(days) {
  const priced = days.some((day) => day.cost !== null && day.cost !== undefined);
  const of = (day) => (priced ? day.cost ?? 0 : day.tokens ?? 0), says = (value) => (priced ? money(value) : compact(value));
  const most = Math.max(...days.map(of), priced ? 0.0001 : 1), left = 58, wide = (W - left) / Math.max(days.length, 7);
  const drawing = draw("svg", { class: "chart days", viewBox: `0 0 ${W} ${H + 14}` },
    [0, 0.5, 1].map((part) => {
      const y = H - 8 - part * (H - 24);
      return [draw("line", { class: part ? "grid" : "axis", x1: left, x2: W, y1: y, y2: y }), draw("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, says(most * part))];
    }).flat(),
    days.map((day, index) => draw("rect", { class: "bar", x: left + index * wide + 1, width: Math.max(1, wide - 2), y: H - 8 - (of(day) / most) * (H - 24), height: (of(day) / most) * (H - 24) })),
    [0, days.length - 1].filter((index, place, all) => index >= 0 && all.indexOf(index) === place).map((index) =>
      draw("text", { x: left + (index + 0.5) * wide, y: H + 8, "text-anchor": index ? "end" : "start" }, visible(days[index].day))));
  const sum = days.reduce((total, day) => total + of(day), 0), top = days.find((day) => of(day) === most);
  const sentence = `${priced ? `${money(sum)} spent` : `${compact(sum)} tokens`} in ${count(days.length)} days` + (top ? `, the most on ${top.day}: ${says(of(top))}.` : ".") + (priced ? "" : " No price is known.");
  return figure(drawing, visible(sentence), ["Day", "Tasks", "Requests", "Tokens", "Cost"],
    days.map((day) => [day.day, count(day.tasks), count(day.requests), count(day.tokens), money(day.cost)]).reverse(), "usage");
}

// How much is left of a skill: 1 on the day of its last success, a half after its half-life.
export function decayBar(decay) {
  const part = Math.max(0, Math.min(1, decay));
  return draw("svg", { class: "decay", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": `${percent(part)} left` },
    draw("rect", { class: "rail", width: 100, height: 8, rx: 3 }), draw("rect", { class: part < 0.5 ? "left low" : "left", width: part * 100, height: 8, rx: 3 }),
    draw("line", { class: "half", x1: 50, x2: 50, y1: 0, y2: 8 }));
}
