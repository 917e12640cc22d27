/**
 * Lines onto a canvas or into an SVG path: both are a pen with moveTo and lineTo.
 *
 * NaN and, on a log axis, what is not positive breaks a line. A point alone between two breaks is a
 * dot. Infinities are told apart from gaps: `marks` says where they are.
 */

import { plainColour } from "../colours.js";

/** @typedef {import("./lines.js").Line} Line */
/** @typedef {import("./numbers.js").Points} Points */
/** @typedef {{moveTo(x: number, y: number): void, lineTo(x: number, y: number): void}} Pen */

/**
 * @typedef {object} Scale one axis of a chart, in values and in pixels
 * @property {number} min @property {number} max
 * @property {number} from pixel of min @property {number} to pixel of max
 * @property {boolean} log
 *
 * @typedef {object} Look
 * @property {string} colour @property {number} width in pixels
 * @property {number} [alpha] @property {number[]} [dash]
 */

/** From a value to its pixel; NaN where a log axis has none. @param {Scale} scale */
export function projection({ min, max, from, to, log }) {
  if (log) {
    const low = Math.log10(min);
    const factor = (to - from) / (Math.log10(max) - low || 1);
    return (/** @type {number} */ value) =>
      value > 0 ? from + (Math.log10(value) - low) * factor : NaN;
  }
  const factor = (to - from) / (max - min || 1);
  return (/** @type {number} */ value) => from + (value - min) * factor;
}

/** From a pixel to its value. @param {Scale} scale @param {number} pixel */
export function valueOf({ min, max, from, to, log }, pixel) {
  const part = (pixel - from) / (to - from || 1);
  return log ? min * (max / min) ** part : min + (max - min) * part;
}

/**
 * Draw a line with a pen. Pixels far outside are drawn a little outside.
 * @param {Pen} pen @param {Points} points @param {Scale} xScale @param {Scale} yScale
 */
export function trace(pen, { x, y }, xScale, yScale) {
  const toX = projection(xScale);
  const toY = projection(yScale);
  const far = 4 * Math.abs(yScale.to - yScale.from);
  let open = false;
  let single = NaN;
  let last = NaN;
  const first = firstShown(x, xScale.min);
  for (let place = first; place < x.length; place++) {
    const px = toX(Number(x[place]));
    const py = toY(Number(y[place]));
    if (!Number.isFinite(py) || !Number.isFinite(px)) {
      if (!Number.isNaN(single)) pen.lineTo(single + 1, last);
      open = false;
      single = NaN;
      continue;
    }
    const held = Math.min(yScale.from + far, Math.max(yScale.to - far, py));
    if (open) {
      pen.lineTo(px, held);
      single = NaN;
    } else {
      pen.moveTo(px, held);
      open = true;
      single = px;
      last = held;
    }
    if (Number(x[place]) > xScale.max) break;
  }
  if (!Number.isNaN(single)) pen.lineTo(single + 1, last);
}

/** @param {ArrayLike<number>} x @param {number} min */
function firstShown(x, min) {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Number(x[middle]) < min) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/**
 * The area between two lines over the same x.
 * @param {Pen & {closePath(): void}} pen
 * @param {{x: ArrayLike<number>, least: ArrayLike<number>, greatest: ArrayLike<number>}} area
 * @param {Scale} xScale @param {Scale} yScale
 */
export function traceArea(pen, { x, least, greatest }, xScale, yScale) {
  const toX = projection(xScale);
  const toY = projection(yScale);
  const isThere = (/** @type {number} */ place) =>
    Number.isFinite(toY(Number(least[place]))) && Number.isFinite(toY(Number(greatest[place])));
  for (let begin = 0; begin < x.length; begin++) {
    if (!isThere(begin)) continue;
    let end = begin;
    while (end + 1 < x.length && isThere(end + 1)) end++;
    for (let place = begin; place <= end; place++) {
      const [px, py] = [toX(Number(x[place])), toY(Number(greatest[place]))];
      if (place === begin) pen.moveTo(px, py);
      else pen.lineTo(px, py);
    }
    for (let place = end; place >= begin; place--) {
      pen.lineTo(toX(Number(x[place])), toY(Number(least[place])));
    }
    pen.closePath();
    begin = end;
  }
}

/**
 * Where a line has no finite value: pixels of x, one a place at most.
 * @param {Points} points @param {Scale} xScale
 * @returns {{nan: number[], above: number[], below: number[]}}
 */
function marks({ x, y }, xScale) {
  const toX = projection(xScale);
  /** @type {{nan: number[], above: number[], below: number[]}} */
  const found = { nan: [], above: [], below: [] };
  for (let place = 0; place < x.length; place++) {
    const value = Number(y[place]);
    const at = Number(x[place]);
    if (Number.isFinite(value) || at < xScale.min || at > xScale.max) continue;
    const list = Number.isNaN(value) ? found.nan : value > 0 ? found.above : found.below;
    const px = toX(at);
    if (!(px - (list.at(-1) ?? -Infinity) < 4)) list.push(px);
  }
  return found;
}

/** @param {CanvasRenderingContext2D} context @param {Look} look @param {() => void} draw */
export function stroke(context, look, draw) {
  context.strokeStyle = look.colour;
  context.globalAlpha = look.alpha ?? 1;
  context.lineWidth = look.width;
  context.lineJoin = "round";
  context.setLineDash(look.dash ?? []);
  context.beginPath();
  draw();
  context.stroke();
  context.globalAlpha = 1;
  context.setLineDash([]);
}

/**
 * Small marks at the edge for what cannot be drawn: a tick below for NaN, an arrow for infinities.
 * @param {CanvasRenderingContext2D} context @param {ReturnType<typeof marks>} found
 * @param {Scale} yScale @param {string} colour @param {number} unit pixels of a CSS pixel
 */
function drawMarks(context, found, yScale, colour, unit) {
  context.fillStyle = colour;
  context.globalAlpha = 0.7;
  for (const px of found.nan) context.fillRect(px - unit / 2, yScale.from - 5 * unit, unit, 5 * unit);
  context.globalAlpha = 1;
  for (const [list, edge, way] of /** @type {const} */ ([
    [found.above, yScale.to, 1],
    [found.below, yScale.from, -1],
  ])) {
    for (const px of list) {
      context.beginPath();
      context.moveTo(px, edge);
      context.lineTo(px - 3.5 * unit, edge + 6 * unit * way);
      context.lineTo(px + 3.5 * unit, edge + 6 * unit * way);
      context.fill();
    }
  }
}

/**
 * All lines of a chart, within its plot.
 * @param {CanvasRenderingContext2D} context @param {Line[]} lines
 * @param {{x: Scale, y: Scale}} scales @param {number} unit canvas pixels of a CSS pixel
 */
export function drawLines(context, lines, { x, y }, unit) {
  const many = lines.length > 30;
  context.save();
  context.beginPath();
  context.rect(x.from, y.to, x.to - x.from, y.from - y.to);
  context.clip();
  for (const line of lines) {
    const colour = plainColour(line.colour);
    if (line.area) {
      context.fillStyle = colour;
      context.globalAlpha = 0.16;
      context.beginPath();
      traceArea(context, line.area, x, y);
      context.fill();
      context.globalAlpha = 1;
    }
    if (line.isSmooth) {
      const look = { colour, width: unit, alpha: many ? 0.12 : 0.36 };
      stroke(context, look, () => trace(context, line.raw, x, y));
    }
    const look = { colour, width: (many ? 1 : 1.5) * unit, alpha: many ? 0.75 : 1 };
    stroke(context, look, () => trace(context, line.shown, x, y));
    drawMarks(context, marks(line.raw, x), y, colour, unit);
  }
  context.restore();
}
