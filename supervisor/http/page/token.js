// The token: asked for once, kept for this tab.

import { make } from "./elements.js";

const PLACE = "agentos-token";
let asking = null;

export function token() {
  return sessionStorage.getItem(PLACE);
}

export function forgetToken() {
  sessionStorage.removeItem(PLACE);
}

function form(wrong, done) {
  const field = make("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false",
    "aria-describedby": "token-help", "aria-invalid": wrong ? "true" : null });
  const dialog = make("dialog", { class: "ask", "aria-labelledby": "token-title" },
    make("form", { on: { submit: (event) => { event.preventDefault(); done(field.value.trim()); } } },
      make("h2", { id: "token-title" }, "A token, please"),
      wrong && make("p", { class: "fault", role: "alert" }, "This token was refused."),
      make("label", { for: "token" }, "Token"),
      field,
      make("p", { class: "soft", id: "token-help" }, "The token that this AgentOS was started with: AGENTOS_TOKEN, or the file that AGENTOS_TOKEN_FILE names. This tab keeps it until the tab is closed."),
      make("div", { class: "buttons" }, make("button", { type: "submit", class: "main" }, "Show me the agents"))));
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  return dialog;
}

// Until a token was given; all who ask meanwhile wait for the same one.
export function askToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = form(wrong, (given) => {
      if (!given) return;
      sessionStorage.setItem(PLACE, given);
      dialog.close();
      dialog.remove();
      asking = null;
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
