// Dialogs: what an order will do is said before it is given.

import { make } from "./elements.js";

let number = 0;

// Resolves to what submit makes of the form, or to null. The browser keeps the focus within and gives it back.
function ask({ title, act, danger = false, leave = "Cancel" }, content, submit) {
  const id = `dialog-${++number}`, back = document.activeElement;
  return new Promise((resolve) => {
    const dialog = make("dialog", { class: "ask", "aria-labelledby": id });
    const end = (value) => {
      dialog.close();
      dialog.remove();
      if (back?.isConnected) back.focus({ preventScroll: true });
      resolve(value);
    };
    dialog.append(make("form", { on: { submit: (event) => { event.preventDefault(); end(submit()); } } },
      make("h2", { id }, title), ...content,
      make("div", { class: "buttons" },
        make("button", { type: "button", on: { click: () => end(null) } }, leave),
        make("button", { type: "submit", class: danger ? "main danger" : "main" }, act))));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(null); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function confirmed({ text, ...rest }) {
  return ask(rest, [make("p", {}, text)], () => true);
}

function control(field) {
  const more = { id: `field-${field.name}`, name: field.name, required: field.required };
  if (field.options) return make("select", more, field.options.map((option) => make("option", { value: option }, option)));
  if (field.lines) return make("textarea", { ...more, rows: field.lines });
  return make("input", { ...more, type: field.type ?? "text", min: field.type === "number" ? 0 : null, autocomplete: "off" });
}

// fields: {name, label, required?, lines?, options?, type?, help?}. Resolves to {name: text}, without those left empty.
export function filled({ text, fields, ...rest }) {
  const controls = fields.map((field) => [field, control(field)]);
  const content = controls.map(([field, element]) => make("div", { class: "field" },
    make("label", { for: element.id }, field.label), element, field.help && make("p", { class: "soft" }, field.help)));
  return ask(rest, [text && make("p", {}, text), ...content], () => {
    const given = {};
    for (const [field, element] of controls) {
      if (element.value === "" || (field.options && element.value === field.options[0])) continue;
      given[field.name] = field.type === "number" ? Number(element.value) : element.value;
    }
    return given;
  });
}
