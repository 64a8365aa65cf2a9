// The route of an envelope as a drawing: a lane for each agent, a numbered stop for each step, the way between them.

import { draw, make, visible } from "./elements.js";
import { several } from "./words.js";

const LANE = 44, LEFT = 118, TOP = 26;
// A phone's drawing is narrow, not a wide one made small: its letters stay as large as they are elsewhere.
export const phone = () => matchMedia("(max-width: 640px)");

function lanesOf(item, route) {
  const lanes = [];
  for (const name of [item.from, ...route.map((one) => one.agent), item.to]) if (name && !lanes.includes(name)) lanes.push(name);
  return lanes;
}

function cut(name) {
  const text = visible(name);
  return text.length > 15 ? `${text.slice(0, 14)}…` : text;
}

function way(from, to) {
  if (from.y === to.y) return `M${from.x} ${from.y}L${to.x} ${to.y}`;
  const middle = (from.x + to.x) / 2;
  return `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
}

export function routeDrawing(item, route) {
  const WIDE = phone().matches ? 340 : 640;
  const lanes = lanesOf(item, route), height = TOP + (lanes.length - 1) * LANE + 18;
  if (!route.length) return make("p", { class: "empty" }, "The envelope has not gone anywhere yet.");
  const gap = (WIDE - LEFT - 40) / Math.max(1, route.length - 1);
  const stops = route.map((one, index) => ({ x: LEFT + 20 + index * gap, y: TOP + lanes.indexOf(one.agent ?? item.from) * LANE, one }));
  const parts = [
    lanes.map((name, index) => [draw("line", { class: "lane", x1: LEFT, x2: WIDE, y1: TOP + index * LANE, y2: TOP + index * LANE }),
      draw("text", { class: "name", x: LEFT - 10, y: TOP + index * LANE + 4, "text-anchor": "end" }, cut(name))]).flat(),
    stops.slice(1).map((stop, index) => draw("path", { class: "way", d: way(stops[index], stop) })),
    stops.map((stop, index) => draw("g", { class: "stop" }, draw("circle", { cx: stop.x, cy: stop.y, r: Math.min(10, gap / 2 || 10) }),
      gap > 14 || route.length === 1 ? draw("text", { x: stop.x, y: stop.y + 4, "text-anchor": "middle" }, String(index + 1)) : null)),
  ].flat();
  const sentence = `${several(route.length, "step")} over ${several(lanes.length, "agent")}: ` + route.map((one, index) => `${index + 1}, ${one.agent ?? item.from}: ${one.what}`).join("; ");
  return draw("svg", { class: "chart route-drawing", viewBox: `0 0 ${WIDE} ${height}`, role: "img", "aria-label": visible(sentence).slice(0, 2000) }, parts);
}
