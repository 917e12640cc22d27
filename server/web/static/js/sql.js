/** The SQL page: a query, its answer as a table and, where there are numbers, as a chart. */

import { drawTable } from "./charts/table.js";
import { visible } from "./dom.js";

/** @typedef {{columns: string[], rows: unknown[][], more: boolean, seconds: number}} Result */

const page = /** @type {HTMLElement} */ (document.querySelector("[data-sql]"));
/** @template {HTMLElement} T @param {string} selector @returns {T} */
const part = (selector) => /** @type {T} */ (page.querySelector(selector));

const form = /** @type {HTMLFormElement} */ (part("[data-form]"));
const field = /** @type {HTMLTextAreaElement} */ (part("#query"));
const told = part("[data-told]");
const failed = part("[data-error]");
const place = part("[data-answer]");
const chart = part("[data-chart]");
const csv = /** @type {HTMLButtonElement} */ (part("[data-csv]"));

/** @type {Result | undefined} */
let result;
let turn = 0;

async function run() {
  const mine = ++turn;
  told.textContent = "…";
  failed.hidden = true;
  const url = new URL(location.href);
  url.searchParams.set("q", field.value);
  history.replaceState(null, "", url);
  try {
    const body = JSON.stringify({ query: field.value });
    const headers = { "content-type": "application/json" };
    const answer = await fetch("/sql", { method: "POST", headers, body });
    const found = await answer.json();
    if (mine !== turn) return;
    if (!answer.ok) throw new Error([found.error.message, found.error.hint].filter(Boolean).join("\n"));
    result = found;
    await show(found);
  } catch (error) {
    if (mine !== turn) return;
    told.textContent = "";
    failed.textContent = error instanceof Error ? error.message : String(error);
    failed.hidden = false;
  }
}

/** @param {Result} found */
async function show(found) {
  const count = found.rows.length;
  const rows = `${found.more ? "the first " : ""}${count.toLocaleString()} row${count === 1 ? "" : "s"}`;
  told.textContent = `${rows}, ${found.seconds < 1 ? `${Math.round(found.seconds * 1000)} ms` : `${found.seconds.toFixed(1)} s`}`;
  csv.disabled = false;
  place.hidden = false;
  place.replaceChildren(table(found));
  place.scrollTop = 0;
  chart.hidden = false;
  chart.hidden = !drawTable(found, chart);
}

/** @param {Result} found */
function table(found) {
  const whole = document.createElement("table");
  const head = whole.createTHead().insertRow();
  const numeric = found.columns.map((_, i) => found.rows.every((row) => row[i] === null || typeof row[i] === "number"));
  found.columns.forEach((name, i) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    if (numeric[i]) cell.className = "number";
    head.append(cell);
  });
  const body = whole.createTBody();
  for (const row of found.rows.slice(0, 2000)) {
    const line = body.insertRow();
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.className = numeric[i] ? "cut number" : "cut";
      const text = value === null ? "–" : visible(String(value));
      const isolated = document.createElement("bdi");
      isolated.textContent = text.slice(0, 300);
      if (value === null) cell.classList.add("muted");
      if (text.length > 40) cell.title = text.slice(0, 2000);
      cell.append(isolated);
    });
  }
  if (found.rows.length > 2000) {
    const cell = body.insertRow().insertCell();
    cell.colSpan = found.columns.length;
    cell.className = "muted";
    cell.textContent = "The first 2,000 are shown; CSV has all that were fetched.";
  }
  return whole;
}

/** @param {unknown} value */
function csvCell(value) {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

csv.addEventListener("click", () => {
  if (!result) return;
  const lines = [result.columns, ...result.rows].map((row) => row.map(csvCell).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "answer.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void run();
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
page.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("[data-example]");
  if (!(button instanceof HTMLElement)) return;
  field.value = button.dataset.example ?? "";
  void run();
});

if (new URL(location.href).searchParams.has("q")) void run();
