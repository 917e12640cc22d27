/**
 * The answer of a query as a chart: lines where the first column has numbers, a line for each further
 * column of numbers (or for each text of a column, where there is just one); else bars.
 */

import { colourAt } from "../colours.js";
import { make, name } from "../dom.js";
import { xText } from "./axes.js";
import { Chart } from "./chart.js";
import { listenToPointer, pressKey } from "./gestures.js";
import { number } from "./numbers.js";

/** @typedef {{columns: string[], rows: unknown[][]}} Result */
/** @typedef {import("./wire.js").Series} Series */
/** @typedef {{name: string, points: [number, number][]}} Drawn */

const MOST_BARS = 30;
const MOST_LINES = 20;
const VIEW = { smooth: 0, logX: false, logY: false, clip: false, grouped: false };

/** @type {WeakMap<HTMLElement, Chart>} */
const drawn = new WeakMap();

/**
 * Draw a result; gives whether there was anything to draw.
 * @param {Result} result @param {HTMLElement} element
 */
export function drawTable(result, element) {
  drawn.get(element)?.destroy();
  drawn.delete(element);
  element.replaceChildren();
  if (result.rows.length < 2) return false;
  const numeric = result.columns.map((_, column) => isNumeric(result.rows, column));
  if (numeric[0] && numeric.indexOf(true, 1) > 0) return drawLines(result, numeric, element);
  return drawBars(result, numeric, element);
}

/** @param {unknown[][]} rows @param {number} column */
function isNumeric(rows, column) {
  const values = rows.map((row) => row[column]).filter((value) => value !== null);
  return values.length > 0 && values.every((value) => typeof value === "number");
}

/** @param {Result} result @param {boolean[]} numeric @param {HTMLElement} element */
function drawLines({ columns, rows }, numeric, element) {
  const lines = linesOf(columns, rows, numeric).slice(0, MOST_LINES);
  const runs = lines.map((line, place) => ({ id: line.name, name: line.name, colour: colourAt(place) }));
  const legend = make("output", { class: "chart-legend" });
  const body = make("div", { class: "chart-body" });
  const label = `${lines.map((line) => line.name).join(", ")} over ${columns[0]}`;
  const figure = make("figure", { class: "chart-card table-chart", tabindex: 0, "aria-label": label });
  figure.append(legend, body);
  element.append(figure);
  const chart = new Chart(body, runs, { x: "metric", key: columns[0] ?? "" }, VIEW, {
    range: (range) => chart.setView(range, VIEW),
    cursor: (x) => {
      chart.setCursor(x);
      showLegend(legend, chart);
    },
    resized: () => undefined,
    made: (plot) => queueMicrotask(() => listenToPointer(chart, plot.over)),
  });
  figure.addEventListener("keydown", (event) => {
    if (event.key === "Escape") chart.setView(null, VIEW);
    else if (!pressKey(chart, event)) return;
    event.preventDefault();
  });
  chart.setData(lines.map(seriesOf), null, Infinity);
  showLegend(legend, chart);
  drawn.set(element, chart);
  return true;
}

/** @param {string[]} columns @param {unknown[][]} rows @param {boolean[]} numeric @returns {Drawn[]} */
function linesOf(columns, rows, numeric) {
  const values = columns.map((_, column) => column).filter((column) => column > 0 && numeric[column]);
  const by = values.length === 1 ? numeric.indexOf(false) : -1;
  const [only] = values;
  if (by < 0 || only === undefined) {
    return values.map((column) => ({ name: columns[column] ?? "", points: pointsOf(rows, column) }));
  }
  /** @type {Map<string, unknown[][]>} */
  const groups = new Map();
  for (const row of rows) {
    const group = String(row[by]);
    groups.set(group, [...(groups.get(group) ?? []), row]);
  }
  return [...groups].map(([group, found]) => ({ name: group, points: pointsOf(found, only) }));
}

/** @param {unknown[][]} rows @param {number} column @returns {[number, number][]} */
function pointsOf(rows, column) {
  return rows
    .filter((row) => typeof row[0] === "number")
    .map((row) => /** @type {[number, number]} */ ([row[0], row[column] ?? NaN]))
    .sort(([a], [b]) => a - b);
}

/** @param {Drawn} line @returns {Series} */
function seriesOf({ name: run, points }) {
  const none = new Float64Array();
  const x = Float64Array.from(points, ([at]) => at);
  const y = Float64Array.from(points, ([, value]) => value);
  return { run, key: run, source: "", total: points.length, x, y, meanX: none, meanY: none };
}

/** @param {HTMLElement} legend @param {Chart} chart */
function showLegend(legend, chart) {
  const { cursor } = chart;
  const values = cursor === null ? [] : chart.valuesAt(cursor);
  const items = chart.lines.map((line) => {
    const mark = make("i", { class: "swatch", "aria-hidden": "true" });
    mark.style.background = line.colour;
    const found = values.find((value) => value.line.id === line.id);
    const item = make("span", {}, mark, name(line.name));
    if (found) item.append(make("b", { class: "number" }, number(found.y)));
    return item;
  });
  const at = cursor === null ? [] : [make("span", { class: "muted" }, xText(chart.axis, cursor))];
  legend.replaceChildren(...items, ...at);
}

/** @param {Result} result @param {boolean[]} numeric @param {HTMLElement} element */
function drawBars({ columns, rows }, numeric, element) {
  const column = numeric.indexOf(true);
  if (column < 0 || numeric.length < 2) return false;
  const label = numeric.indexOf(false);
  const shown = rows.slice(0, MOST_BARS);
  const values = shown.map((row) => Number(row[column] ?? NaN));
  const most = Math.max(...values.filter(Number.isFinite).map(Math.abs)) || 1;
  const list = make("ul", { class: "bars", "aria-label": `${columns[column]} of each row` });
  shown.forEach((row, place) => {
    const value = values[place] ?? NaN;
    const bar = make("i", { class: "bar-value", "aria-hidden": "true" });
    const share = Number.isFinite(value) ? Math.abs(value) / most : 0;
    bar.style.width = `${(100 * share).toFixed(2)}%`;
    bar.style.background = value < 0 ? "var(--series-1)" : "var(--series-0)";
    const text = label < 0 ? String(place + 1) : String(row[label] ?? "–");
    const track = make("span", { class: "bar-track" }, bar);
    list.append(make("li", {}, name(text.slice(0, 300)), track, make("span", { class: "number" }, number(value))));
  });
  element.append(make("p", { class: "muted" }, columns[column] ?? ""), list);
  return true;
}
