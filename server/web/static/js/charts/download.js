/** A chart as a file: PNG (as it is drawn, twice as fine), SVG (lines as paths), CSV (every point). */

import { plainColour } from "../colours.js";
import { trace, traceArea } from "./draw.js";

/** @typedef {import("./chart.js").Chart} Chart */
/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./draw.js").Scale} Scale */

const NAMESPACE = "http://www.w3.org/2000/svg";
const HEADING = 32;
const FONT = "system-ui, sans-serif";

/** @param {string} title @param {string} ending @param {Blob} content */
function save(title, ending, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = `${title.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "chart"}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {Chart} chart @param {string} title */
export function downloadSvg(chart, title) {
  save(title, "svg", new Blob([svgOf(chart, title)], { type: "image/svg+xml" }));
}

/** @param {Chart} chart @param {string} title */
export async function downloadPng(chart, title) {
  const source = new Blob([svgOf(chart, title)], { type: "image/svg+xml" });
  const image = new Image();
  image.src = URL.createObjectURL(source);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth * 2;
  canvas.height = image.naturalHeight * 2;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  const content = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (content) save(title, "png", content);
}

/** Every point of every run of a chart. @param {Chart} chart @param {string} key @param {Feed} feed */
export async function downloadCsv(chart, key, feed) {
  const x = chart.axis.x === "metric" ? (chart.axis.key ?? "x") : chart.axis.x;
  const isByWriter = chart.runs.some(({ source }) => source);
  const areNamed = new Set(chart.runs.map(({ name }) => name)).size === chart.runs.length;
  const lines = [["run", ...(isByWriter ? ["writer"] : []), x, key].map(quoted).join(",")];
  for (const { id, run = id, source = "", name } of chart.runs) {
    const who = [run, ...(isByWriter ? [areNamed ? name : source] : [])].map(quoted).join(",");
    for (const [at, value] of await feed.all({ run, source }, key, chart.axis)) {
      lines.push(`${who},${at},${csvNumber(value)}`);
    }
  }
  save(key, "csv", new Blob([lines.join("\n"), "\n"], { type: "text/csv" }));
}

/** @param {number} value */
function csvNumber(value) {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? String(value) : value > 0 ? "inf" : "-inf";
}

/** @param {string} text */
export function quoted(text) {
  // A spreadsheet takes what begins with = + - @ for a formula.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A pen that writes the data of an SVG path. */
class PathPen {
  text = "";
  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.text += `M${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.text += `L${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  closePath() {
    this.text += "Z";
  }
}

/** @param {Chart} chart @param {string} title */
export function svgOf(chart, title) {
  const unit = chart.plot.ctx.canvas.width / chart.plot.width;
  const scales = chart.scales();
  const x = inUnits(scales.x, unit, 0);
  const y = inUnits(scales.y, unit, HEADING);
  const { width } = chart.plot;
  const height = chart.plot.height + HEADING;
  const root = element("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  root.setAttribute("xmlns", NAMESPACE);
  root.append(element("rect", { width, height, fill: plainColour("var(--surface)") }));
  const heading = { x: 12, y: 21, "font-size": 13, "font-weight": 600 };
  root.append(text(title, heading, "var(--text)"));
  root.append(...axes(chart, x, y), ...paths(chart, x, y), ...keys(chart, x, y));
  return new XMLSerializer().serializeToString(root);
}

/** @param {Scale} scale @param {number} unit @param {number} shift */
function inUnits(scale, unit, shift) {
  return { ...scale, from: scale.from / unit + shift, to: scale.to / unit + shift };
}

/** @param {Chart} chart @param {Scale} x @param {Scale} y */
function axes(chart, x, y) {
  const lines = [];
  for (const { value, text: label } of chart.ticks.x) {
    const at = place(x, value);
    if (!(at >= x.from && at <= x.to)) continue;
    lines.push(rule(at, y.from, at, y.to));
    if (label) lines.push(text(label, { x: at, y: y.from + 16, "text-anchor": "middle" }));
  }
  for (const { value, text: label } of chart.ticks.y) {
    const at = place(y, value);
    if (!(at <= y.from && at >= y.to)) continue;
    lines.push(rule(x.from, at, x.to, at));
    if (label) lines.push(text(label, { x: x.from - 6, y: at + 4, "text-anchor": "end" }));
  }
  return lines;
}

/** @param {Chart} chart @param {Scale} x @param {Scale} y */
function paths(chart, x, y) {
  const clip = element("clipPath", { id: "plot" });
  const size = { x: x.from, y: y.to, width: x.to - x.from, height: y.from - y.to };
  clip.append(element("rect", size));
  const group = element("g", { "clip-path": "url(#plot)", fill: "none", "stroke-width": 1.5 });
  for (const line of chart.lines) {
    const stroke = plainColour(line.colour);
    if (line.area) {
      const pen = new PathPen();
      traceArea(pen, line.area, x, y);
      group.append(
        element("path", { d: pen.text, fill: stroke, "fill-opacity": 0.16, stroke: "none" }),
      );
    }
    for (const points of line.isSmooth ? [line.raw, line.shown] : [line.shown]) {
      const pen = new PathPen();
      trace(pen, points, x, y);
      /** @type {Record<string, number>} */
      const faint = points === line.raw && line.isSmooth ? { "stroke-opacity": 0.28 } : {};
      group.append(element("path", { d: pen.text, stroke, ...faint }));
    }
  }
  return [clip, group];
}

/** The names of a few lines. @param {Chart} chart @param {Scale} x @param {Scale} y */
function keys(chart, x, y) {
  if (chart.lines.length < 2 || chart.lines.length > 12) return [];
  return chart.lines.flatMap((line, row) => {
    const at = y.to + 14 + row * 14;
    const fill = plainColour(line.colour);
    const mark = element("rect", { x: x.to - 12, y: at - 8, width: 8, height: 8, fill });
    return [mark, text(line.name.slice(0, 40), { x: x.to - 16, y: at, "text-anchor": "end" })];
  });
}

/** @param {Scale} scale @param {number} value */
function place({ min, max, from, to, log }, value) {
  if (log) return from + ((to - from) * Math.log(value / min)) / Math.log(max / min);
  return from + ((to - from) * (value - min)) / (max - min);
}

/** @param {string} tag @param {Record<string, string | number>} attributes */
function element(tag, attributes) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** @param {string} content @param {Record<string, string | number>} attributes @param {string} [colour] */
function text(content, attributes, colour = "var(--muted)") {
  const font = { "font-family": FONT, "font-size": 11, fill: plainColour(colour) };
  const made = element("text", { ...font, ...attributes });
  // XML has no control characters.
  // eslint-disable-next-line no-control-regex
  made.textContent = content.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd");
  return made;
}

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
function rule(x1, y1, x2, y2) {
  return element("line", { x1, y1, x2, y2, stroke: plainColour("var(--line)") });
}
