/** The compare page: runs that can be hidden, and four ways to look at the others. */

import { mount } from "../charts/mount.js";
import { colourOf } from "../colours.js";
import { Address } from "./address.js";
import { Table, columnsOf } from "./table.js";
import { Parallel } from "./parallel.js";
import { Scatter } from "./scatter.js";

/** @typedef {import("../charts/mount.js").Facts} Facts */
/** @typedef {Facts["runs"][number]} Run */

/** A panel that draws itself when it is first looked at, and again when runs are hidden. */
/** @typedef {{show(runs: Run[]): void}} Panel */

const root = /** @type {HTMLElement | null} */ (document.querySelector("[data-compare]"));
if (root) compare(root);

/** @param {HTMLElement} page */
function compare(page) {
  const facts = /** @type {Facts} */ (
    JSON.parse(page.querySelector("script[data-facts]")?.textContent ?? "{}")
  );
  const columns = columnsOf(facts.runs);
  const charts = mount(page);
  const address = new Address(charts?.state.others ?? new URLSearchParams());
  /** @type {Record<string, Panel>} */
  const panels = {
    charts: { show: (runs) => charts?.select(runs) },
    differences: new Table(panel(page, "differences")),
    parallel: new Parallel(panel(page, "parallel"), columns, address),
    scatter: new Scatter(panel(page, "scatter"), columns, facts, address),
  };
  paintSwatches(page);
  let shown = readHidden(page, facts.runs, address);
  let view = "";
  if (shown.length < facts.runs.length) charts?.select(shown);
  const draw = () => panels[view]?.show(shown);
  const look = () => {
    const asked = address.get("view") || "charts";
    const next = asked in panels ? asked : "charts";
    if (next === view) return;
    view = next;
    for (const found of page.querySelectorAll("[data-panel]")) {
      const section = /** @type {HTMLElement} */ (found);
      section.hidden = section.dataset.panel !== view;
    }
    for (const found of page.querySelectorAll("[data-view]")) {
      const link = /** @type {HTMLElement} */ (found);
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    draw();
  };
  for (const link of page.querySelectorAll("[data-view]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const asked = /** @type {HTMLElement} */ (link).dataset.view ?? "charts";
      address.put("view", asked === "charts" ? "" : asked);
      look();
    });
  }
  page.querySelector("[data-legend]")?.addEventListener("change", () => {
    const boxes = [...page.querySelectorAll("[data-legend] input")];
    const hidden = boxes.filter((box) => !(/** @type {HTMLInputElement} */ (box).checked));
    const ids = new Set(hidden.map((box) => /** @type {HTMLInputElement} */ (box).value));
    shown = facts.runs.filter(({ id }) => !ids.has(id));
    address.put("hidden", [...ids].join(","));
    draw();
  });
  addEventListener("hashchange", look);
  document.addEventListener("themechange", draw);
  addEventListener("resize", () => requestAnimationFrame(draw));
  look();
}

/**
 * Runs but those that the address hides.
 * @param {HTMLElement} page @param {Run[]} runs @param {Address} address
 */
function readHidden(page, runs, address) {
  const text = address.get("hidden");
  const ids = new Set(text ? text.split(",") : []);
  for (const found of page.querySelectorAll("[data-legend] input")) {
    const box = /** @type {HTMLInputElement} */ (found);
    box.checked = !ids.has(box.value);
  }
  return runs.filter(({ id }) => !ids.has(id));
}

/** @param {HTMLElement} page @param {string} name */
function panel(page, name) {
  return /** @type {HTMLElement} */ (page.querySelector(`[data-panel="${name}"]`));
}

/** @param {HTMLElement} page */
function paintSwatches(page) {
  for (const found of page.querySelectorAll("[data-swatch]")) {
    const mark = /** @type {HTMLElement} */ (found);
    mark.style.background = colourOf(mark.dataset.swatch ?? "");
  }
  for (const found of page.querySelectorAll("[data-legend] label")) {
    const id = found.querySelector("input")?.value ?? "";
    const mark = /** @type {HTMLElement | null} */ (found.querySelector(".swatch"));
    if (mark) mark.style.background = colourOf(id);
  }
}
