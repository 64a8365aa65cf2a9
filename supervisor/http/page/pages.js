// Lists that come in pages: the first is asked for again and again, the next ones when somebody wants them.

import { make, replace, empty, complain } from "./elements.js";
import { get, query } from "./api.js";

// one(item): its <li>, kept while the item stays as it is. values(): what follows the path's question mark.
export function pagedList({ path, values = () => ({}), one, none, label }) {
  const list = make("ul", { class: "list", "aria-label": label }), note = make("div", {});
  const more = make("button", { type: "button", class: "more", hidden: true, on: { click: () => onward() } }, "Show more");
  const fresh = make("button", { type: "button", class: "more", hidden: true, on: { click: () => fromTheTop() } }, "New entries: show them");
  const element = make("div", {}, fresh, list, note, more);
  let first = null, newer = null, next = null, further = [], known = "", elements = new Map();

  const show = () => {
    const items = [...(first?.items ?? []), ...further], kept = new Map();
    for (const item of items) {
      const text = JSON.stringify(item);
      kept.set(text, elements.get(text) ?? one(item));
    }
    elements = kept;
    replace(list, [...kept.values()]);
    replace(note, items.length ? null : empty(none));
    more.hidden = !next;
    fresh.hidden = true;
  };
  const fromTheTop = () => {
    [first, next, further] = [newer, newer.next ?? null, []];
    show();
  };
  const onward = async () => {
    try {
      const told = await get(query(path, { ...values(), cursor: next }));
      const from = list.children.length;
      further.push(...told.items);
      next = told.next ?? null;
      show();
      list.children[from]?.setAttribute("tabindex", "-1");
      list.children[from]?.focus({ preventScroll: true });
    } catch (problem) {
      complain(problem.message);
    }
  };
  // Whoever has gone on to further pages is not thrown back to the first.
  const refresh = async () => {
    const asked = query(path, values()), told = await get(asked), text = JSON.stringify(told);
    if (asked + text === known) return told;
    const elsewhere = !known.startsWith(asked + "{");
    known = asked + text;
    newer = told;
    if (further.length && !elsewhere) fresh.hidden = false;
    else fromTheTop();
    return told;
  };
  return { element, refresh };
}
