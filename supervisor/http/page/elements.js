// Elements of the page. Text becomes text: nothing here, or anywhere else in the page, reads markup from a string.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Characters that are not seen but change what is: controls, and those that turn the direction of writing.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return String(text ?? "").replace(/\r\n/g, "\n").replace(UNSEEN, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

// What an agent, a model or a stranger wrote: isolated, so that its direction is its own.
export function said(text, tag = "bdi", attributes = {}) {
  return make(tag, { dir: "auto", ...attributes }, visible(text));
}

// How much of a text is shown before the rest is asked for: characters and lines.
export const FEW = { characters: 420, lines: 8 }, MANY = { characters: 6000, lines: 120 };

function beginning(whole, { characters, lines }) {
  const part = whole.slice(0, characters).split("\n").slice(0, lines).join("\n");
  return whole.length - part.length > 40 ? part : whole;
}

// A longer text with its lines.
export function longText(text, attributes = {}, shown = MANY) {
  const whole = visible(text), part = beginning(whole, shown);
  const box = make("div", { class: "text", dir: "auto", ...attributes }, part);
  if (part === whole) return box;
  const more = make("button", { type: "button", class: "plain", "data-key": `more-${whole.length}-${part}` }, `Show all ${whole.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    box.setAttribute("tabindex", "-1");
    box.replaceChildren(whole);
    box.focus({ preventScroll: true });
  });
  box.append("… ", more);
  return box;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function keyed(container, key) {
  return [...container.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
}

// Puts the children in place of what is there. Focus, and what was folded out, stay where their data-key is.
export function replace(container, ...children) {
  const active = container.contains(document.activeElement) ? document.activeElement : null;
  const open = [...container.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key);
  container.replaceChildren(...children.flat().filter(Boolean));
  for (const key of open) keyed(container, key)?.setAttribute("open", "");
  if (active && !container.contains(document.activeElement)) {
    const again = active.isConnected ? active : active.dataset.key && keyed(container, active.dataset.key);
    again?.focus({ preventScroll: true });
  }
}

export function section(title, ...children) {
  return make("section", { class: "card" }, make("h2", {}, title), ...children);
}

export function empty(sentence) {
  return make("p", { class: "empty" }, sentence);
}

let speaking;
export function announce(sentence) {
  const line = document.getElementById("said");
  line.replaceChildren(make("span", {}, visible(sentence)));
  clearTimeout(speaking);
  speaking = setTimeout(() => line.replaceChildren(), 20000);
}

let complainer;
// by: the view whose own looks end its complaint, by quiet(by); a complaint of an order stays until somebody closes it.
export function complain(sentence, by = null) {
  const line = document.getElementById("complaint");
  complainer = by;
  const close = make("button", { type: "button", class: "plain" }, "Close");
  close.addEventListener("click", () => line.replaceChildren());
  line.replaceChildren(make("span", {}, visible(sentence)), close);
}

export function quiet(by = complainer) {
  if (by === complainer) document.getElementById("complaint").replaceChildren();
}
