/**
 * Parallel coordinates: an axis for each column that varies, a line for each run. Dragging along an
 * axis brushes a part of it; runs outside of any brush step back.
 */

import { colourOf } from "../colours.js";
import { make, name, swatch } from "../dom.js";
import { placeOf } from "./axis.js";
import { cut, svg } from "./svg.js";

/** @typedef {import("./mount.js").Run} Run */
/** @typedef {import("./table.js").Column} Column */
/** @typedef {import("./axis.js").Place} Place */

const HEIGHT = 420;
const TOP = 44;
const BOTTOM = 20;
const LEAST_GAP = 110;
const MOST_AT_FIRST = 8;

export class Parallel {
  /** @param {HTMLElement} element @param {Column[]} columns @param {import("./address.js").Address} address */
  constructor(element, columns, address) {
    this.element = element;
    this.address = address;
    this.columns = columns.filter(({ varies }) => varies);
    this.chosen = new Set(read(address.get("axes")) ?? firstChoice(this.columns));
    /** @type {Map<string, [number, number]>} parts of axes */
    this.brushes = new Map(read(address.get("brush")) ?? []);
    /** @type {Run[]} */
    this.runs = [];
    this.told = make("p", { class: "muted", role: "status" });
    this.drawing = make("div", { class: "scroll parallel" });
    if (this.columns.length < 2) {
      const hint = "Their config and summary agree in all keys but one at most.";
      element.append(make("p", { class: "empty" }, make("strong", {}, "Nothing differs"), hint));
    } else {
      element.append(this.#choices(), make("div", { class: "card" }, this.drawing), this.told);
    }
  }

  #choices() {
    const list = make("div", { class: "axis-choices", role: "group", "aria-label": "Axes" });
    for (const column of this.columns) {
      const box = make("input", { type: "checkbox", checked: this.chosen.has(column.name) });
      box.addEventListener("change", () => {
        if (box.checked) this.chosen.add(column.name);
        else this.chosen.delete(column.name);
        this.brushes.delete(column.name);
        this.address.put("axes", JSON.stringify([...this.chosen]));
        this.show(this.runs);
      });
      list.append(make("label", { class: "check", title: column.name }, box, name(column.label)));
    }
    return list;
  }

  /** @param {Run[]} runs */
  show(runs) {
    this.runs = runs;
    if (this.columns.length < 2 || this.element.hidden) return;
    const columns = this.columns.filter(({ name: found }) => this.chosen.has(found));
    const width = Math.max(this.element.clientWidth - 2, columns.length * LEAST_GAP + 80);
    const gap = columns.length > 1 ? (width - 160) / (columns.length - 1) : 0;
    const picture = svg("svg", { width, height: HEIGHT, role: "img" });
    picture.setAttribute("aria-label", `${runs.length} runs over ${columns.length} columns`);
    const axes = columns.map((column, index) => ({
      ...{ column, x: 80 + index * gap, place: placeOf(column, runs) },
    }));
    this.lines = runs.map((run) => lineOf(run, axes));
    picture.append(svg("g", { fill: "none" }, ...this.lines));
    for (const axis of axes) picture.append(this.#axis(axis, gap));
    this.drawing.replaceChildren(picture);
    this.axes = axes;
    this.#apply();
  }

  /** @param {{column: Column, x: number, place: Place}} axis @param {number} gap */
  #axis({ column, x, place }, gap) {
    const group = svg("g", { transform: `translate(${x} 0)`, class: "axis" });
    const title = svg("text", { y: 20, "text-anchor": "middle", class: "axis-title" });
    title.append(cut(column.label, Math.max(8, Math.floor(gap / 7))), svg("title", {}, column.name));
    const rule = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "axis-line" });
    const brush = svg("rect", { x: -10, width: 20, class: "axis-brush" });
    const area = svg("rect", { x: -16, y: TOP, width: 32, height: HEIGHT - TOP - BOTTOM });
    area.setAttribute("class", "axis-area");
    area.append(svg("title", {}, `Drag to choose a part of ${column.label}, click to let go`));
    for (const { part, text } of place.ticks) {
      const y = toY(part);
      group.append(svg("line", { x1: -3, x2: 3, y1: y, y2: y, class: "axis-line" }));
      group.append(svg("text", { x: 7, y: y + 4, class: "axis-tick" }, cut(text, 14)));
    }
    group.append(title, rule, brush, area);
    const show = () => {
      const [low, high] = this.brushes.get(column.name) ?? [0, 0];
      brush.setAttribute("y", String(toY(high)));
      brush.setAttribute("height", String(Math.max(0, toY(low) - toY(high))));
    };
    listen(area, (range) => {
      if (range) this.brushes.set(column.name, range);
      else this.brushes.delete(column.name);
      show();
      this.#apply();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#keep(), 200);
    });
    show();
    return group;
  }

  #keep() {
    const brushes = [...this.brushes].map(([axis, range]) => [axis, range.map(rounded)]);
    this.address.put("brush", brushes.length ? JSON.stringify(brushes) : "");
  }

  /** Let what is outside of a brush step back. */
  #apply() {
    let inside = 0;
    /** @type {Run[]} */
    const chosen = [];
    this.runs.forEach((run, index) => {
      const isIn = (this.axes ?? []).every(({ column, place }) => {
        const brush = this.brushes.get(column.name);
        const part = place.at(run);
        return !brush || (part >= brush[0] && part <= brush[1]);
      });
      this.lines?.[index]?.classList.toggle("out", !isIn);
      if (isIn) chosen.push(run);
      inside += Number(isIn);
    });
    const few = this.brushes.size > 0 && inside <= 8 ? chosen : [];
    const names = few.flatMap((run) => [swatch(colourOf(run.id)), name(run.name)]);
    const text = this.brushes.size ? `${inside} of ${this.runs.length} runs chosen` : "Drag along an axis to choose runs.";
    this.told.replaceChildren(text, ...names);
  }
}

/** @param {Run} run @param {{x: number, place: Place}[]} axes */
function lineOf(run, axes) {
  let path = "";
  let open = false;
  for (const { x, place } of axes) {
    const part = place.at(run);
    if (Number.isNaN(part)) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${x.toFixed(1)} ${toY(part).toFixed(1)}`;
    open = true;
  }
  const line = svg("path", { d: path || "M0 0", class: "run-line" }, svg("title", {}, run.name));
  line.style.stroke = colourOf(run.id);
  return line;
}

/** What an address says, if it can be read. @param {string} text @returns {any[] | null} */
function read(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

/** @param {number} part */
const rounded = (part) => Math.round(part * 1000) / 1000;

/** @param {number} part */
function toY(part) {
  return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

/** Brushing with any pointer. @param {SVGElement} area @param {(range: [number, number] | null) => void} set */
function listen(area, set) {
  area.addEventListener("pointerdown", (down) => {
    area.setPointerCapture(down.pointerId);
    const { top, height } = area.getBoundingClientRect();
    const part = (/** @type {PointerEvent} */ event) =>
      Math.min(1, Math.max(0, 1 - (event.clientY - top) / height));
    const start = part(down);
    set(null);
    const move = (/** @type {PointerEvent} */ event) => {
      const here = part(event);
      if (Math.abs(here - start) > 0.01) set([Math.min(start, here), Math.max(start, here)]);
    };
    const end = () => area.removeEventListener("pointermove", move);
    area.addEventListener("pointermove", move);
    area.addEventListener("pointerup", end, { once: true });
    area.addEventListener("pointercancel", end, { once: true });
  });
}

/** The columns that say most: settings first, then results. @param {Column[]} columns */
function firstChoice(columns) {
  const config = columns.filter(({ name: found }) => found.startsWith("config."));
  const summary = columns.filter((column) => !config.includes(column) && column.isNumber);
  const room = MOST_AT_FIRST - Math.min(3, summary.length);
  return [...config.slice(0, room), ...summary.slice(0, MOST_AT_FIRST - Math.min(room, config.length))]
    .map(({ name: found }) => found);
}
