/**
 * A chart with its title, the values at the cursor, its menu, and its words for screen readers. The
 * height is fixed from the beginning; the plot itself is made once it comes near the window.
 */

import { make, name, swatch } from "../dom.js";
import { xText } from "./axes.js";
import { Chart } from "./chart.js";
import { downloadCsv, downloadPng, downloadSvg } from "./download.js";
import { listenToPointer, pressKey } from "./gestures.js";
import { showHelp } from "./help.js";
import { number } from "./numbers.js";

/** @typedef {import("./chart.js").View} View */
/** @typedef {import("./feed.js").Axis} Axis */
/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./lines.js").Run} Run */
/** @typedef {import("./wire.js").Series} Series */
/** @typedef {[number, number]} Range */

/**
 * @typedef {object} Page what a card asks of the page that it is on
 * @property {Feed} feed
 * @property {(card: Card, range: Range | null) => void} range
 * @property {(card: Card, x: number | null) => void} cursor
 * @property {() => void} resized
 * @property {(card: Card) => void} full
 * @property {(card: Card) => void} logY
 */

const MOST_VALUES = 10;
/** With more runs, each is drawn with less detail. */
export const FEW_RUNS = 20;

export class Card {
  /** @param {string} key of the metric @param {Page} page */
  constructor(key, page) {
    this.key = key;
    this.page = page;
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Chart | null} */
    this.chart = null;
    /** @type {Axis} */
    this.axis = { x: "step" };
    this.isNear = false;
    this.isStale = true;
    this.value = make("output", { class: "chart-value number" });
    this.body = make("div", { class: "chart-body" });
    this.tip = make("div", { class: "chart-tip", hidden: true });
    this.note = make("p", { class: "chart-note" }, "");
    this.summary = make("p", { class: "sr-only" });
    this.spoken = make("p", { class: "sr-only", "aria-live": "polite" });
    this.element = this.#make();
  }

  #make() {
    const caption = make("figcaption", {}, name(this.key), this.value, this.#menu());
    const element = make(
      "figure",
      { class: "chart-card card", tabindex: 0, role: "group", "aria-label": this.key },
      ...[caption, this.body, this.note, this.tip, this.summary, this.spoken],
    );
    element.dataset.key = this.key;
    element.addEventListener("keydown", (event) => this.#key(event));
    return element;
  }

  #menu() {
    const menu = make("details", { class: "menu", "data-menu": true });
    /** @param {string} text @param {string} what @param {() => void} act */
    const item = (text, what, act) => {
      const button = make("button", { type: "button", class: "plain", "data-act": what }, text);
      button.addEventListener("click", () => {
        menu.open = false;
        act();
      });
      return button;
    };
    const chart = (/** @type {(chart: Chart) => unknown} */ act) => () =>
      this.chart && Promise.resolve(act(this.chart)).catch((error) => this.say(String(error)));
    menu.append(
      make("summary", { class: "icon plain", "aria-label": `Menu of ${this.key}` }, "⋯"),
      make(
        "div",
        { class: "menu-body" },
        item("Keys and gestures (?)", "help", showHelp),
        item("Full screen (f)", "full", () => this.page.full(this)),
        item("Log y axis (l)", "log", () => this.page.logY(this)),
        item("Save as PNG", "png", chart((found) => downloadPng(found, this.key))),
        item("Save as SVG", "svg", chart((found) => downloadSvg(found, this.key))),
        item("Save points as CSV", "csv", chart((found) => downloadCsv(found, this.key, this.page.feed))),
      ),
    );
    return menu;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.element || !this.chart) return;
    if (event.key === "f") this.page.full(this);
    else if (event.key === "l") this.page.logY(this);
    else if (event.key === "?") showHelp();
    else if (event.key === "Escape") this.#escape();
    else if (!pressKey(this.chart, event)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#speak();
  }

  #escape() {
    if (this.element.classList.contains("full")) this.page.full(this);
    else if (this.chart?.range) this.page.range(this, null);
    else this.page.cursor(this, null);
  }

  // -- what is shown ---------------------------------------------------------------------------

  /** @param {Run[]} runs @param {Axis} axis @param {Range | null} range @param {View} view */
  show(runs, axis, range, view) {
    if (axis.x !== this.axis.x || axis.key !== this.axis.key) this.#drop();
    if (runs !== this.runs && !this.chart?.setRuns(runs)) this.isStale = true;
    this.runs = runs;
    this.axis = axis;
    if (!this.isNear) return;
    if (this.chart) this.chart.setView(range, view);
    else this.#makeChart(range, view);
    this.#summarize();
  }

  #drop() {
    this.chart?.destroy();
    this.chart = null;
    this.isStale = true;
  }

  /** @param {Range | null} range @param {View} view */
  #makeChart(range, view) {
    const chart = new Chart(this.body, this.runs, this.axis, view, {
      range: (found) => this.page.range(this, found),
      cursor: (x) => this.page.cursor(this, x),
      resized: () => this.page.resized(),
      made: (plot) => queueMicrotask(() => listenToPointer(chart, plot.over)),
    });
    chart.setView(range, view);
    this.chart = chart;
  }

  /** @param {Series[]} series @param {Range | null} range @param {number} columns */
  setData(series, range, columns) {
    this.chart?.setData(series, range, columns);
    if (!range) this.isStale = false;
    this.element.classList.add("drawn");
    const isEmpty = series.every((line) => line.x.length === 0);
    this.say(isEmpty ? (range ? "no points in this range" : this.#whyEmpty()) : "");
    this.#summarize();
    this.setCursor(this.chart?.cursor ?? null, false);
  }

  #whyEmpty() {
    return this.axis.x === "metric" ? `not logged beside ${this.axis.key}` : "no points yet";
  }

  /** A line in the chart: why there is nothing to see. @param {string} text */
  say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }

  /** How many pixel columns the chart has, as far as they matter. */
  columns() {
    const width = this.chart?.plot.bbox.width ?? this.body.clientWidth;
    const most = this.runs.length > FEW_RUNS ? 300 : 1500;
    return Math.max(100, Math.min(most, Math.round(width)));
  }

  /** Whether points are here, but more of them would show more. */
  get isBlurred() {
    return !this.isStale && this.chart !== null && !this.chart.isSharp(this.columns());
  }

  // -- the cursor ------------------------------------------------------------------------------

  /** @param {number | null} x @param {boolean} isHere whether the hand is on this chart */
  setCursor(x, isHere) {
    const { chart } = this;
    if (!chart) return;
    chart.setCursor(x);
    const [first] = chart.lines;
    if (chart.lines.length === 1 && first) {
      const found = x === null ? null : chart.valuesAt(x)[0];
      const last = first.shown.y.length - 1;
      this.value.textContent = found
        ? `${xText(this.axis, found.x)} · ${number(found.y)}`
        : number(Number(first.shown.y[last]));
    } else {
      this.value.textContent = x === null ? "" : xText(this.axis, x);
      this.#showTip(x, isHere);
    }
  }

  /** The runs nearest to the hand. @param {number | null} x @param {boolean} isHere */
  #showTip(x, isHere) {
    const { chart, tip } = this;
    if (!chart || x === null || !isHere) {
      tip.hidden = true;
      if (x === null) chart?.setFocus(null);
      return;
    }
    const { hand } = chart;
    const distance = (/** @type {number} */ y) =>
      hand === null ? -y : Math.abs(chart.plot.valToPos(y, "y") - hand);
    const values = chart.valuesAt(x).filter(({ y }) => Number.isFinite(y));
    values.sort((a, b) => distance(a.y) - distance(b.y));
    const shown = values.slice(0, MOST_VALUES);
    if (hand !== null) chart.setFocus(shown[0]?.line.id ?? null);
    shown.sort((a, b) => b.y - a.y);
    const rows = shown.map(({ line, y }) => {
      const row = make("li", {}, swatch(line.colour), name(line.name));
      row.append(make("span", { class: "number" }, number(y)));
      if (line.id === chart.focus) row.className = "nearest";
      return row;
    });
    const more = values.length - shown.length;
    const heading = make("p", { class: "muted" }, xText(this.axis, x));
    const rest = more > 0 ? [make("p", { class: "muted" }, `and ${more} more`)] : [];
    tip.replaceChildren(heading, make("ul", {}, ...rows), ...rest);
    const left = chart.plot.valToPos(x, "x") + chart.plot.over.offsetLeft;
    tip.classList.toggle("left", left > this.body.clientWidth / 2);
    tip.style.setProperty("--at", `${left}px`);
    tip.hidden = shown.length === 0;
  }

  // -- words -----------------------------------------------------------------------------------

  #summarize() {
    const { chart } = this;
    if (!chart || chart.coarse.size === 0) return;
    const parts = chart.lines.slice(0, 5).map((line) => {
      const values = Array.from(line.raw.y).filter(Number.isFinite);
      const last = line.raw.y[line.raw.y.length - 1];
      const [least, greatest] = [values.reduce(lesser, Infinity), values.reduce(greater, -Infinity)];
      const facts = `last ${number(Number(last))}, least ${number(least)}, greatest ${number(greatest)}`;
      return `${line.name}: ${facts}, ${line.total.toLocaleString("en")} points.`;
    });
    const more = chart.lines.length - parts.length;
    const rest = more > 0 ? ` And ${more} more runs.` : "";
    const text = `${this.key} by ${this.#axisName()}. ${parts.join(" ")}${rest}`;
    this.summary.textContent = text;
    this.element.setAttribute("aria-label", text);
  }

  #axisName() {
    return { step: "step", time: "time", relative: "running time", metric: this.axis.key ?? "" }[
      this.axis.x
    ];
  }

  #speak() {
    const { chart } = this;
    if (!chart || chart.cursor === null) return;
    const values = chart.valuesAt(chart.cursor);
    const found = values.find(({ line }) => line.id === chart.focus) ?? values[0];
    if (!found) return;
    const who = chart.lines.length > 1 ? `${found.line.name}: ` : "";
    this.spoken.textContent = `${who}${number(found.y)} at ${xText(this.axis, found.x)}`;
  }
}

/** @param {number} a @param {number} b */
const lesser = (a, b) => Math.min(a, b);
/** @param {number} a @param {number} b */
const greater = (a, b) => Math.max(a, b);
