// The commits of an agent as a diary: what it did, what it said of it, and what each commit changed.

import { make, said, longText, replace, empty, complain, visible } from "./elements.js";
import { get, agentUrl } from "./api.js";
import { pagedList } from "./pages.js";
import { when, reward, rewardWord, count, several } from "./words.js";
import { orderButton } from "./orders.js";

const LINES = 400; // of one file's diff, before the rest is asked for

const CHANGES = { added: "new", deleted: "gone", modified: "changed", renamed: "moved", retyped: "another type" };

function fileHead(file) {
  const name = file.old_path && file.old_path !== file.path ? `${file.old_path} → ${file.path}` : file.path;
  return [said(name, "code"), make("span", { class: "soft" }, ` ${CHANGES[file.change] ?? file.change}`),
    file.added !== null && file.added !== undefined && make("span", { class: "plus", "aria-label": several(file.added, "line added", "lines added") }, ` +${count(file.added)}`),
    file.removed !== null && file.removed !== undefined && make("span", { class: "minus", "aria-label": several(file.removed, "line removed", "lines removed") }, ` −${count(file.removed)}`)];
}

// "+" and "-" as insertions and deletions, which a screen reader can say; the mark stays for the eye.
function line(text) {
  const kind = text[0];
  if (kind === "@") return make("span", { class: "hunk" }, visible(text));
  const tag = kind === "+" ? "ins" : kind === "-" ? "del" : "span";
  return make(tag, { class: "line" }, make("span", { class: "mark", "aria-hidden": "true" }, kind === "-" ? "−" : kind ?? " "), visible(text.slice(1)));
}

function diffOf(file) {
  const lines = typeof file.diff === "string" ? file.diff.replace(/\n$/, "").split("\n") : null;
  if (!lines) return make("p", { class: "soft" }, "No text.");
  const box = make("div", { class: "diff", dir: "auto" }, lines.slice(0, LINES).map(line));
  if (lines.length > LINES) {
    const more = make("button", { type: "button", class: "plain" }, `Show ${several(lines.length - LINES, "more line")}`);
    more.addEventListener("click", () => more.replaceWith(...lines.slice(LINES).map(line)));
    box.append(more);
  }
  if (file.cut) box.append(make("p", { class: "soft" }, "The diff is longer; `agentos git` shows all of it."));
  return box;
}

function changes(name, item) {
  const place = make("div", { class: "changes" }, make("p", { class: "soft" }, "Asking …"));
  const number = (item.files?.length ?? 0) + (item.more_files ?? 0);
  const fold = make("details", { "data-key": `commit-${item.commit}` },
    make("summary", {}, number ? `What changed: ${several(number, "file")}` : "What changed"), place);
  const load = async () => {
    try {
      const told = await get(agentUrl(name, "commits", item.commit));
      replace(place, told.files?.length ? told.files.map((file) => make("section", { class: "file" }, make("h4", {}, fileHead(file)), diffOf(file))) : empty(told.problems?.[0] ?? "Nothing."),
        told.more_files > 0 && make("p", { class: "soft" }, `And ${several(told.more_files, "more file")}; \`agentos git\` shows all of them.`));
    } catch (problem) {
      delete fold.dataset.asked;
      complain(problem.message);
    }
  };
  fold.addEventListener("toggle", () => { if (fold.open && !fold.dataset.asked) { fold.dataset.asked = "yes"; load(); } });
  return fold;
}

function entry(name, item, after) {
  const short = visible(item.commit).slice(0, 10);
  return make("li", { class: "commit" },
    make("div", { class: "head" },
      typeof item.reward === "number" && make("span", { class: `reward ${rewardWord(item.reward)}` }, reward(item.reward)),
      said(item.subject, "h3"), when(item.time)),
    item.body && longText(item.body.trim(), { class: "text read" }),
    make("div", { class: "foot" }, make("p", { class: "soft" }, make("code", {}, short), item.author && [" · ", said(item.author)], item.tokens > 0 && ` · ${count(item.tokens)} tokens`,
      item.audit !== null && item.audit !== undefined && [" · audit ", said(item.audit)]),
    orderButton("Go back to here", { title: `Undo the learning since ${short}?`, act: "Undo it", path: agentUrl(name, "rollback"), body: { commit: item.commit }, done: "The learning was undone by a new commit.",
      text: "The agent's skills, goals and reflections become what they were after this commit, by a new commit; answers, rewards and the queue stay. History is never rewritten, so the rollback can be undone, too." }, after, `Go back to here: ${short}`)),
    changes(name, item));
}

export function diary(name, after) {
  return pagedList({ path: agentUrl(name, "commits"), one: (item) => entry(name, item, after), none: "No commit yet.", label: "Commits, newest first" });
}
