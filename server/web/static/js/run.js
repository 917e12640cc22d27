/** The page of a run: a head that stays true, notes edited in place, trees that can be searched. */

import { showTimes } from "./app.js";
import { colourOf } from "./colours.js";
import { listen } from "./events.js";

const head = /** @type {HTMLElement} */ (document.querySelector("[data-run]"));
const api = head.dataset.api ?? "";

const swatch = /** @type {HTMLElement} */ (head.querySelector(".swatch"));
swatch.style.background = colourOf(head.dataset.run ?? "");

// -- live ---------------------------------------------------------------------------------------

/** Take the head, and the overview if that is shown, as they are now. */
async function renew() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const line = found.querySelector("[data-facts-line]");
  if (line) head.querySelector("[data-facts-line]")?.replaceWith(line);
  const state = found.querySelector("[data-run]")?.getAttribute("data-state");
  if (state) head.dataset.state = state;
  showTimes(head);
}

listen(`${api}/events`, "rows", ({ state }) => {
  if (state !== head.dataset.state) void renew();
});

// -- notes --------------------------------------------------------------------------------------

/** @template {Element} T @param {string} selector @returns {T | null} */
const one = (selector) => /** @type {T | null} */ (document.querySelector(selector));

const form = /** @type {HTMLFormElement | null} */ (one("[data-notes] [data-form]"));
const shown = /** @type {HTMLElement | null} */ (one("[data-notes] [data-text]"));
const edit = /** @type {HTMLButtonElement | null} */ (one("[data-edit]"));
const notes = /** @type {HTMLTextAreaElement | null} */ (one("#notes"));
const tags = /** @type {HTMLInputElement | null} */ (one("#tags"));

/** @param {boolean} on */
function editing(on) {
  if (!form || !shown || !edit) return;
  form.hidden = !on;
  shown.hidden = edit.hidden = on;
  if (on) notes?.focus();
  else edit.focus();
}

/** @param {SubmitEvent} event */
async function save(event) {
  event.preventDefault();
  const list = (tags?.value ?? "").split(",").map((tag) => tag.trim());
  const body = { notes: notes?.value ?? "", tags: [...new Set(list.filter(Boolean))] };
  const failed = /** @type {HTMLElement} */ (one("[data-error]"));
  failed.hidden = true;
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(api, { method: "PATCH", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    location.reload();
  } catch (error) {
    failed.textContent = `Not saved: ${error instanceof Error ? error.message : error}`;
    failed.hidden = false;
  }
}

edit?.addEventListener("click", () => editing(true));
one("[data-cancel]")?.addEventListener("click", () => {
  form?.reset();
  editing(false);
});
form?.addEventListener("submit", (event) => void save(event));
form?.addEventListener("keydown", (event) => {
  if (event.key === "Escape") editing(false);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

// -- trees --------------------------------------------------------------------------------------

/** Show the leaves that hold the text, and what leads to them. @param {HTMLElement} tree @param {string} text */
function find(tree, text) {
  const wanted = text.toLowerCase();
  for (const leaf of /** @type {NodeListOf<HTMLElement>} */ (tree.querySelectorAll(".leaf"))) {
    const path = [leaf.textContent ?? ""];
    for (let up = leaf.closest("details"); up; up = up.parentElement?.closest("details") ?? null) {
      path.push(up.querySelector("summary")?.textContent ?? "");
    }
    leaf.hidden = !path.some((part) => part.toLowerCase().includes(wanted));
  }
  for (const branch of /** @type {NodeListOf<HTMLElement>} */ (tree.querySelectorAll(".branch"))) {
    branch.hidden = !branch.querySelector(".leaf:not([hidden])");
  }
}

for (const tree of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-tree]"))) {
  tree.querySelector("[data-find]")?.addEventListener("input", (event) => {
    find(tree, /** @type {HTMLInputElement} */ (event.target).value);
  });
}

for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-copy]"))) {
  button.addEventListener("click", () => {
    const text = document.getElementById(button.dataset.copy ?? "")?.textContent ?? "";
    void navigator.clipboard.writeText(text).then(() => (button.textContent = "Copied"));
  });
}
