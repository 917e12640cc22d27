/**
 * The console of a run: only the lines that are looked at are fetched and kept.
 *
 * The last lines come first; reaching an end fetches what lies beyond it. While the end is in
 * sight, new lines follow by themselves.
 */

import { plain, render } from "./ansi.js";
import { listen } from "./events.js";

const PART = 400;
const MOST = 4000;
const NEAR = 300;

/** @typedef {{seq: number, time: number, stream: string, text: string, writer: string | null}} Line */

const section = /** @type {HTMLElement} */ (document.querySelector("[data-console]"));
const box = /** @type {HTMLElement} */ (section.querySelector("[data-lines]"));
const search = /** @type {HTMLInputElement} */ (section.querySelector("[data-search]"));
const told = /** @type {HTMLElement} */ (section.querySelector("[data-told]"));
const api = /** @type {HTMLElement} */ (document.querySelector("[data-api]")).dataset.api ?? "";

let first = 0;
let last = 0;
let hasBefore = true;
let hasAfter = false;
let busy = false;
let many = false;
/** Counts what is asked for anew, so that an answer to something older is thrown away. */
let turn = 0;

/** @param {Record<string, number>} range @returns {Promise<{lines: Line[], more: boolean}>} */
async function fetchLines(range) {
  const query = new URLSearchParams({ limit: String(PART) });
  for (const [name, value] of Object.entries(range)) query.set(name, String(value));
  if (search.value) query.set("search", search.value);
  const answer = await fetch(`${api}/console?${query}`);
  if (!answer.ok) throw new Error(`console: ${answer.status}`);
  return answer.json();
}

/** @param {Line} line */
function element(line) {
  const row = document.createElement("div");
  row.className = line.stream === "stderr" ? "line stderr" : "line";
  row.dataset.seq = String(line.seq);
  const at = new Date(line.time * 1000);
  const time = document.createElement("time");
  time.textContent = at.toLocaleTimeString([], { hour12: false });
  time.title = `${at.toLocaleString()}${line.writer ? ` · ${line.writer}` : ""}`;
  const text = document.createElement("bdi");
  text.append(...(search.value ? marked(plain(line.text), search.value) : render(line.text)));
  row.append(time, text);
  return row;
}

/** @param {string} text @param {string} wanted */
function marked(text, wanted) {
  const nodes = [];
  const lower = text.toLowerCase();
  let at = 0;
  for (let i = lower.indexOf(wanted.toLowerCase()); i >= 0; i = lower.indexOf(wanted.toLowerCase(), at)) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(i, i + wanted.length);
    nodes.push(text.slice(at, i), mark);
    at = i + wanted.length;
  }
  return [...nodes, text.slice(at)];
}

const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 40;

/** Begin anew at one end. @param {"first" | "last"} end */
async function begin(end) {
  const mine = ++turn;
  const found = await fetchLines(end === "first" ? { after: 0 } : { before: Number.MAX_SAFE_INTEGER });
  if (mine !== turn) return;
  box.replaceChildren(...found.lines.map(element));
  first = found.lines[0]?.seq ?? 0;
  last = found.lines.at(-1)?.seq ?? 0;
  hasBefore = end === "last" && found.more;
  hasAfter = end === "first" && found.more;
  many = found.more;
  box.scrollTop = end === "last" ? box.scrollHeight : 0;
  tell();
}

async function goBack() {
  const mine = turn;
  const found = await fetchLines({ before: first });
  if (mine !== turn) return;
  const height = box.scrollHeight;
  box.prepend(...found.lines.map(element));
  box.scrollTop += box.scrollHeight - height;
  first = found.lines[0]?.seq ?? first;
  hasBefore = found.more;
  while (box.childElementCount > MOST) {
    box.lastElementChild?.remove();
    hasAfter = true;
  }
  last = Number(/** @type {HTMLElement | null} */ (box.lastElementChild)?.dataset.seq ?? last);
}

/** @param {boolean} follow */
async function goOn(follow) {
  const mine = turn;
  const found = await fetchLines({ after: last });
  if (mine !== turn) return;
  box.append(...found.lines.map(element));
  last = found.lines.at(-1)?.seq ?? last;
  first ||= found.lines[0]?.seq ?? 0;
  hasAfter = found.more;
  while (box.childElementCount > MOST) {
    const gone = /** @type {HTMLElement} */ (box.firstElementChild);
    const height = gone.offsetHeight;
    gone.remove();
    if (!follow) box.scrollTop -= height;
    hasBefore = true;
  }
  first = Number(/** @type {HTMLElement | null} */ (box.firstElementChild)?.dataset.seq ?? first);
  if (follow) box.scrollTop = box.scrollHeight;
  tell();
}

function tell() {
  const count = box.childElementCount;
  if (search.value) told.textContent = count ? `${many ? `${count}+` : count} found` : "nothing found";
  else told.textContent = count ? "" : "Nothing was printed.";
}

/** @param {() => Promise<void>} step */
async function alone(step) {
  if (busy) return;
  busy = true;
  try {
    await step();
  } catch {
    told.textContent = "The lines cannot be fetched just now.";
  } finally {
    busy = false;
  }
}

box.addEventListener("scroll", () => {
  if (hasBefore && box.scrollTop < NEAR) void alone(goBack);
  else if (hasAfter && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR) {
    void alone(() => goOn(false));
  }
});

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => void begin("last"), 200);
});
section.querySelector("[data-first]")?.addEventListener("click", () => void begin("first"));
section.querySelector("[data-last]")?.addEventListener("click", () => void begin("last"));

await begin("last");
listen(`${api}/events`, "rows", () => {
  if (!hasAfter) void alone(() => goOn(isAtEnd()));
});
