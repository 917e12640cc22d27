/** Scatter of any two columns, a point for each run; a point leads to its run. */

import { colourOf } from "../colours.js";
import { make } from "../dom.js";
import { placeOf } from "./axis.js";
import { cut, svg } from "./svg.js";

/** @typedef {import("./mount.js").Run} Run */
/** @typedef {import("./mount.js").Facts} Facts */
/** @typedef {import("./table.js").Column} Column */

const HEIGHT = 440;
const EDGE = { left: 92, right: 24, top: 16, bottom: 44 };

export class Scatter {
  /**
   * @param {HTMLElement} element @param {Column[]} columns @param {Facts} facts
   * @param {import("./address.js").Address} address
   */
  constructor(element, columns, facts, address) {
    this.element = element;
    this.address = address;
    this.columns = columns;
    this.facts = facts;
    if (columns.length < 2) {
      const hint = "A scatter needs two keys of config or summary.";
      element.append(make("p", { class: "empty" }, make("strong", {}, "Nothing to plot"), hint));
      return;
    }
    const varying = columns.filter(({ varies, isNumber }) => varies && isNumber);
    const x = varying.find(({ name }) => name.startsWith("config.")) ?? varying[0] ?? columns[0];
    const y = varying.findLast((column) => column !== x) ?? columns.at(-1);
    this.x = this.#select("X", address.get("x-of") || (x?.name ?? ""));
    this.y = this.#select("Y", address.get("y-of") || (y?.name ?? ""));
    this.picture = make("div", { class: "card" });
    const bar = make("div", { class: "chart-bar" }, this.x.label, this.y.label);
    element.append(bar, this.picture);
  }

  /** @param {string} text @param {string} chosen */
  #select(text, chosen) {
    const select = make("select", { "aria-label": `${text} axis` });
    for (const { name } of this.columns) {
      select.append(make("option", { value: name, selected: name === chosen }, cut(name, 60)));
    }
    select.addEventListener("change", () => {
      this.address.put(`${text.toLowerCase()}-of`, select.value);
      this.show(this.runs ?? []);
    });
    return { select, label: make("label", {}, make("span", { class: "muted" }, text), select) };
  }

  /** @param {Run[]} runs */
  show(runs) {
    this.runs = runs;
    if (!this.picture || this.element.hidden) return;
    const find = (/** @type {HTMLSelectElement | undefined} */ select) =>
      this.columns.find(({ name }) => name === select?.value);
    const [x, y] = [find(this.x?.select), find(this.y?.select)];
    if (!x || !y) return;
    const width = Math.max(280, this.element.clientWidth - 2);
    const picture = svg("svg", { width, height: HEIGHT, role: "group" });
    picture.setAttribute("aria-label", `${y.name} over ${x.name}, ${runs.length} runs`);
    const [toX, toY] = [placeOf(x, runs), placeOf(y, runs)];
    const px = (/** @type {number} */ part) => EDGE.left + part * (width - EDGE.left - EDGE.right);
    const py = (/** @type {number} */ part) =>
      HEIGHT - EDGE.bottom - part * (HEIGHT - EDGE.top - EDGE.bottom);
    for (const { part, text } of toX.ticks) {
      const at = px(part);
      picture.append(svg("line", { x1: at, x2: at, y1: EDGE.top, y2: py(0), class: "axis-grid" }));
      const place = { x: at, y: HEIGHT - 26, "text-anchor": "middle", class: "axis-tick" };
      picture.append(svg("text", place, cut(text, 16)));
    }
    for (const { part, text } of toY.ticks) {
      const at = py(part);
      const right = width - EDGE.right;
      picture.append(svg("line", { x1: EDGE.left, x2: right, y1: at, y2: at, class: "axis-grid" }));
      const place = { x: EDGE.left - 8, y: at + 4, "text-anchor": "end", class: "axis-tick" };
      picture.append(svg("text", place, cut(text, 14)));
    }
    const middle = EDGE.left + (width - EDGE.left - EDGE.right) / 2;
    const title = { x: middle, y: HEIGHT - 8, "text-anchor": "middle", class: "axis-title" };
    picture.append(svg("text", title, cut(x.label, 60) + (toX.log ? " (log)" : "")));
    const side = { transform: `translate(14 ${HEIGHT / 2}) rotate(-90)`, "text-anchor": "middle" };
    const upright = svg("text", { ...side, class: "axis-title" });
    upright.append(cut(y.label, 50) + (toY.log ? " (log)" : ""));
    picture.append(upright);
    for (const run of runs) {
      const [cx, cy] = [px(toX.at(run)), py(toY.at(run))];
      if (Number.isNaN(cx) || Number.isNaN(cy)) continue;
      picture.append(this.#point(run, cx, cy, `${x.label} ${x.value(run)}, ${y.label} ${y.value(run)}`));
    }
    this.picture.replaceChildren(picture);
  }

  /** @param {Run} run @param {number} cx @param {number} cy @param {string} facts */
  #point(run, cx, cy, facts) {
    const { entity, project } = this.facts;
    const href = `/${[entity, project, "runs", run.id].map(encodeURIComponent).join("/")}`;
    const text = `${cut(run.name, 80)}: ${facts}`;
    const circle = svg("circle", { cx, cy, r: 5, class: "run-point" }, svg("title", {}, text));
    circle.style.fill = colourOf(run.id);
    return svg("a", { href, "aria-label": text }, circle);
  }
}
