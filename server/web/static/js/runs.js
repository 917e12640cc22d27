/**
 * The table of runs: what the server renders, without loading the page anew.
 *
 * All state is in the address. A change of it fetches the page and puts its table in the place of
 * the old one; further rows, and rows that changed meanwhile (server-sent events), come as HTML.
 */

import { showTimes } from "./app.js";
import { colourOf } from "./colours.js";
import { listen } from "./events.js";

const page = /** @type {HTMLElement} */ (document.querySelector("[data-runs]"));
const path = page.dataset.runs ?? "";

/** @template {Element} T @param {string} selector @param {ParentNode} [within] @returns {T[]} */
const all = (selector, within = page) => /** @type {T[]} */ ([...within.querySelectorAll(selector)]);

/** Give new rows what only a script can: colours, times of here. @param {ParentNode} within */
function enliven(within) {
  for (const row of /** @type {HTMLElement[]} */ (all("tr[data-run]", within))) {
    const swatch = /** @type {HTMLElement | null} */ (row.querySelector(".swatch"));
    if (swatch) swatch.style.background = colourOf(row.dataset.run ?? "");
  }
  showTimes(within);
  for (const button of all("[data-after]", within)) ends.observe(button);
}

// -- the address --------------------------------------------------------------------------------

/** @type {AbortController | undefined} */
let asking;

/** Show the table that an address means. @param {URL} url @param {{push?: boolean}} [options] */
async function go(url, { push = true } = {}) {
  asking?.abort();
  const mine = (asking = new AbortController());
  page.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { signal: mine.signal, headers: { accept: "text/html" } });
    const text = await answer.text();
    const found = new DOMParser().parseFromString(text, "text/html").querySelector("[data-runs]");
    if (!found) return location.assign(url);
    if (push) history.pushState(null, "", url);
    replace(found);
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) location.assign(url);
  } finally {
    if (asking === mine) page.removeAttribute("aria-busy");
  }
}

/** Take what another page shows; fields keep their focus. @param {Element} found */
function replace(found) {
  const focused = document.activeElement;
  const name = focused instanceof HTMLInputElement && page.contains(focused) ? focused.name : "";
  const at = focused instanceof HTMLInputElement ? focused.selectionStart : null;
  const said = name === "q" ? /** @type {HTMLInputElement} */ (focused).value : null;
  page.replaceChildren(...found.childNodes);
  const field = name && page.querySelector(`input[name="${name}"]`);
  if (field instanceof HTMLInputElement && name === "q") {
    if (said !== null) field.value = said;
    field.focus();
    if (at !== null) field.setSelectionRange(at, at);
  }
  enliven(page);
}

/** The address that a form means, without fields that say nothing. @param {HTMLFormElement} form */
function addressOf(form) {
  const url = new URL(path, location.href);
  for (const [name, value] of new FormData(form)) {
    if (name !== "column" && value !== "") url.searchParams.append(name, String(value));
  }
  for (const name of ["column", "selected"]) {
    for (const value of new URL(location.href).searchParams.getAll(name)) {
      url.searchParams.append(name, value);
    }
  }
  return url;
}

page.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  event.preventDefault();
  const button = event.submitter;
  if (button?.hasAttribute("data-compare")) {
    // Twice: for the address, and before that for ids with commas.
    const ids = selected().map((id) => encodeURIComponent(encodeURIComponent(id)));
    location.assign(`${path}/compare?runs=${ids.join(",")}`);
  } else if (button?.hasAttribute("data-clear")) {
    keepSelected([]);
    for (const box of boxes()) box.checked = false;
  } else if (button?.closest("[data-columns]")) {
    chooseColumns(form);
  } else {
    void go(addressOf(form));
  }
});

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;

page.addEventListener("input", (event) => {
  const field = /** @type {HTMLInputElement} */ (event.target);
  if (field.name === "q" && field.form) {
    const form = field.form;
    clearTimeout(typing);
    typing = setTimeout(() => void go(addressOf(form), { push: false }).then(keepAddress(form)), 250);
  } else if (field.hasAttribute("data-find")) {
    findColumns(field.value);
  }
});

/** @param {HTMLFormElement} form */
function keepAddress(form) {
  const url = addressOf(form);
  return () => history.replaceState(null, "", url);
}

page.addEventListener("change", (event) => {
  const field = /** @type {HTMLInputElement | HTMLSelectElement} */ (event.target);
  if (field.name === "by" && field.form) void go(addressOf(field.form));
  else if (field.matches(".pick input")) pick(/** @type {HTMLInputElement} */ (field));
});

page.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const link = /** @type {HTMLAnchorElement | null} */ (target.closest("thead a, .empty a"));
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    const url = new URL(link.href);
    url.searchParams.delete("selected");
    for (const id of selected()) url.searchParams.append("selected", id);
    void go(url);
  }
  const more = /** @type {HTMLElement | null} */ (target.closest("[data-after]"));
  if (more) void showMore(more);
  const group = /** @type {HTMLElement | null} */ (target.closest("[data-group]"));
  if (group) void toggleGroup(group);
  if (target.closest("[data-usual]")) {
    document.cookie = `columns=; path=${path}; max-age=0; SameSite=Lax`;
    const url = new URL(location.href);
    url.searchParams.delete("column");
    void go(url);
  }
});

addEventListener("popstate", () => void go(new URL(location.href), { push: false }));

// -- columns ------------------------------------------------------------------------------------

/** Show the columns that are ticked, and remember them. @param {HTMLFormElement} form */
function chooseColumns(form) {
  const ticked = new Set(new FormData(form).getAll("column").map(String));
  const before = new URL(location.href).searchParams.getAll("column").filter((n) => ticked.has(n));
  const names = [...new Set([...before, ...ticked])];
  const text = encodeURIComponent(JSON.stringify(names));
  document.cookie = `columns=${text}; path=${path}; max-age=31536000; SameSite=Lax`;
  const url = new URL(location.href);
  url.searchParams.delete("column");
  for (const name of names) url.searchParams.append("column", name);
  void go(url);
}

/** @param {string} text */
function findColumns(text) {
  for (const label of /** @type {HTMLElement[]} */ (all(".choices label"))) {
    label.hidden = !label.textContent?.toLowerCase().includes(text.toLowerCase());
  }
}

// -- selection ----------------------------------------------------------------------------------

const boxes = () => /** @type {HTMLInputElement[]} */ (all("tbody .pick input"));
const selected = () => new URL(location.href).searchParams.getAll("selected");

/** @param {HTMLInputElement} box */
function pick(box) {
  const changed = box.hasAttribute("data-all") ? boxes() : [box];
  const ids = new Set(selected());
  for (const one of changed) {
    one.checked = box.checked;
    if (box.checked) ids.add(one.value);
    else ids.delete(one.value);
  }
  keepSelected([...ids]);
}

/** @param {string[]} ids */
function keepSelected(ids) {
  const url = new URL(location.href);
  url.searchParams.delete("selected");
  for (const id of ids) url.searchParams.append("selected", id);
  history.replaceState(null, "", url);
  const [compare] = /** @type {HTMLButtonElement[]} */ (all("[data-compare]"));
  const [clear] = /** @type {HTMLButtonElement[]} */ (all("[data-clear]"));
  if (compare) compare.disabled = ids.length < 2;
  if (clear) clear.hidden = ids.length === 0;
  for (const count of all("[data-count]")) count.textContent = String(ids.length);
}

// -- further rows -------------------------------------------------------------------------------

/** @param {string} query */
async function fetchRows(query) {
  const answer = await fetch(`${path}/rows${query}`);
  if (!answer.ok) throw new Error(`rows: ${answer.status}`);
  const template = document.createElement("template");
  template.innerHTML = `<table><tbody>${await answer.text()}</tbody></table>`;
  const body = template.content.querySelector("tbody");
  return body ?? document.createElement("tbody");
}

/** @param {HTMLElement} button */
async function showMore(button) {
  const row = button.closest("tr");
  if (!row || row.hasAttribute("aria-busy")) return;
  row.setAttribute("aria-busy", "true");
  try {
    const body = await fetchRows(button.dataset.after ?? "");
    const known = new Set(selected());
    for (const box of /** @type {HTMLInputElement[]} */ (all(".pick input", body))) {
      box.checked = known.has(box.value);
    }
    enliven(body);
    row.replaceWith(...body.childNodes);
  } catch {
    row.removeAttribute("aria-busy");
    button.textContent = "That did not work: try again";
  }
}

const ends = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) void showMore(/** @type {HTMLElement} */ (entry.target));
    }
  },
  { rootMargin: "600px" },
);

/** @param {HTMLElement} button */
async function toggleGroup(button) {
  const body = /** @type {HTMLElement} */ (button.closest("tbody")?.nextElementSibling);
  const opens = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(opens));
  body.hidden = !opens;
  if (!opens || body.childElementCount) return;
  body.replaceChildren(...(await fetchRows(body.dataset.more ?? "")).childNodes);
  enliven(body);
}

// -- live ---------------------------------------------------------------------------------------

/** Rows of these runs as they are now; new ones come first. @param {string[]} ids */
async function refresh(ids) {
  const query = new URLSearchParams(location.search);
  for (const name of ["selected", "by"]) query.delete(name);
  for (const id of ids) query.append("id", id);
  const body = await fetchRows(`?${query}`);
  enliven(body);
  const chosen = new Set(selected());
  for (const row of /** @type {HTMLElement[]} */ (all("tr[data-run]", body))) {
    const box = row.querySelector("input");
    if (box) box.checked = chosen.has(box.value);
    const old = page.querySelector(`tr[data-run="${CSS.escape(row.dataset.run ?? "")}"]`);
    if (old) old.replaceWith(row);
    else if (isNewestFirst()) page.querySelector("tbody[data-rows]")?.prepend(row);
  }
}

function isNewestFirst() {
  const query = new URL(location.href).searchParams;
  return !query.get("by") && [null, "", "-created"].includes(query.get("sort"));
}

/** @param {{runs: number, running: number, changed: string[], gone: string[]}} told */
async function take(told) {
  for (const id of told.gone) page.querySelector(`tr[data-run="${CSS.escape(id)}"]`)?.remove();
  const counts = page.querySelector("[data-counts]");
  if (counts) {
    const running = document.createElement("span");
    running.className = "state state-running";
    running.textContent = `${told.running} running`;
    counts.replaceChildren(`${told.runs} run${told.runs === 1 ? "" : "s"}`);
    if (told.running) counts.append(", ", running);
  }
  if (told.changed.length && !page.querySelector("[data-results] table")) {
    if (!page.querySelector("[role=alert]")) await go(new URL(location.href), { push: false });
  } else if (told.changed.length) {
    await refresh(told.changed.slice(0, 200));
  }
}

listen(page.dataset.events ?? "", "runs", (told) => void take(told).catch(() => undefined));

document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof Element && event.target.matches("input, textarea, select");
  if (event.key !== "/" || isTyping) return;
  event.preventDefault();
  /** @type {HTMLElement | null} */ (page.querySelector("input[name=q]"))?.focus();
});

enliven(page);
