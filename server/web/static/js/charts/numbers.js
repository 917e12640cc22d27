/** Arithmetic of charts: smoothing, ranges, bands, and numbers as text. No page in here. */

/** @typedef {import("./wire.js").Series} Series */
/** @typedef {ArrayLike<number>} Numbers */
/** @typedef {{x: Numbers, y: Numbers}} Points */

/**
 * Exponential moving average over points at any distance, without the bias towards its beginning.
 *
 * What lies `spacing` back weighs `weight` times as much; so with even steps this is the usual
 * average, and it does not change when points are thinned or left out. Gaps stay gaps.
 * @param {Points} points @param {number} weight 0 (nothing) to below 1
 * @param {number} spacing the usual distance of two points
 * @returns {{x: Float64Array, y: Float64Array}}
 */
export function smooth({ x, y }, weight, spacing) {
  const out = new Float64Array(x.length);
  let sum = 0;
  let norm = 0;
  let before = Number(x[0]) - spacing;
  for (let place = 0; place < x.length; place++) {
    const value = Number(y[place]);
    if (!Number.isFinite(value)) {
      out[place] = NaN;
      continue;
    }
    const kept = spacing > 0 ? weight ** ((Number(x[place]) - before) / spacing) : weight;
    sum = sum * kept + (1 - kept) * value;
    norm = norm * kept + (1 - kept);
    out[place] = norm > 0 ? sum / norm : value;
    before = Number(x[place]);
  }
  return { x: Float64Array.from(/** @type {any} */ (x)), y: out };
}

/**
 * What is smoothed: all points, or where they were thinned the means of the columns, with a gap
 * where the line has one that is wider than a column.
 * @param {Series} series @returns {Points}
 */
export function averages(series) {
  if (series.meanX.length < 2) return series;
  const { x, y, meanX, meanY } = series;
  const width = (Number(meanX.at(-1)) - Number(meanX[0])) / (meanX.length - 1);
  const gaps = [];
  for (let place = 0; place < x.length; place++) if (Number.isNaN(y[place])) gaps.push(x[place]);
  if (gaps.length === 0) return { x: meanX, y: meanY };
  const at = [];
  const found = [];
  let gap = 0;
  for (let place = 0; place < meanX.length; place++) {
    const before = place ? Number(meanX[place - 1]) : -Infinity;
    while (gap < gaps.length && Number(gaps[gap]) <= before) gap++;
    const here = Number(meanX[place]);
    if (gap < gaps.length && Number(gaps[gap]) < here && here - before > 1.5 * width) {
      at.push(Number(gaps[gap]));
      found.push(NaN);
    }
    at.push(here);
    found.push(Number(meanY[place]));
  }
  return { x: at, y: found };
}

/** The first place in ascending `x` whose value is not below `value`. @param {Numbers} x @param {number} value */
export function lowerBound(x, value) {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Number(x[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place nearest to `value`; -1 where there is none. @param {Numbers} x @param {number} value */
export function nearest(x, value) {
  const place = lowerBound(x, value);
  if (place === 0) return x.length ? 0 : -1;
  if (place === x.length) return place - 1;
  return value - Number(x[place - 1]) <= Number(x[place]) - value ? place - 1 : place;
}

/**
 * From the least to the greatest finite value within a range of x; null where there is none.
 * @param {Points[]} lines @param {number} low @param {number} high
 * @param {{positive?: boolean, clip?: number}} [how] `clip`: the part left out at either end
 * @returns {[number, number] | null}
 */
export function extent(lines, low, high, { positive = false, clip = 0 } = {}) {
  let least = Infinity;
  let greatest = -Infinity;
  const values = [];
  for (const { x, y } of lines) {
    const first = Math.max(0, lowerBound(x, low) - 1);
    const stop = Math.min(x.length, lowerBound(x, high) + 2);
    for (let place = first; place < stop; place++) {
      const value = Number(y[place]);
      if (!Number.isFinite(value) || (positive && value <= 0)) continue;
      if (value < least) least = value;
      if (value > greatest) greatest = value;
      if (clip) values.push(value);
    }
  }
  if (least > greatest) return null;
  if (!clip || values.length < 20) return [least, greatest];
  const sorted = Float64Array.from(values).sort();
  const cut = Math.floor(sorted.length * clip);
  return [Number(sorted[cut]), Number(sorted[sorted.length - 1 - cut])];
}

/** A range with room around it. @param {[number, number] | null} range @param {boolean} log @returns {[number, number]} */
export function padded(range, log) {
  if (!range) return log ? [0.1, 10] : [0, 1];
  const [low, high] = range;
  if (log) return low === high ? [low / 2, high * 2] : widen(low, high);
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
  return [low - room, high + room];
}

/** @param {number} low @param {number} high @returns {[number, number]} */
function widen(low, high) {
  const factor = (high / low) ** 0.04;
  return [low / factor, high * factor];
}

/**
 * The mean of several lines and how far they reach, at evenly spaced x. A line counts from its
 * first point to its last; between two points it is straight.
 * @param {{line: Points, mean: Points}[]} lines @param {number} low @param {number} high
 * @param {number} cells
 */
export function band(lines, low, high, cells) {
  const x = new Float64Array(cells + 1);
  const sum = new Float64Array(cells + 1);
  const count = new Float64Array(cells + 1);
  const least = new Float64Array(cells + 1).fill(Infinity);
  const greatest = new Float64Array(cells + 1).fill(-Infinity);
  for (let cell = 0; cell <= cells; cell++) x[cell] = low + ((high - low) * cell) / cells;
  /** @param {number} cell @param {number} value */
  const reach = (cell, value) => {
    if (value < Number(least[cell])) least[cell] = value;
    if (value > Number(greatest[cell])) greatest[cell] = value;
  };
  for (const { line, mean } of lines) {
    for (let cell = 0; cell <= cells; cell++) {
      const value = valueAt(mean, Number(x[cell]));
      if (!Number.isFinite(value)) continue;
      sum[cell] = Number(sum[cell]) + value;
      count[cell] = Number(count[cell]) + 1;
      reach(cell, value);
    }
    for (let place = 0; place < line.x.length; place++) {
      const value = Number(line.y[place]);
      const cell = Math.round(((Number(line.x[place]) - low) / (high - low)) * cells);
      if (cell >= 0 && cell <= cells && Number.isFinite(value)) reach(cell, value);
    }
  }
  const mean = sum.map((value, cell) => (count[cell] ? value / Number(count[cell]) : NaN));
  return {
    x,
    mean,
    least: least.map((value) => (value === Infinity ? NaN : value)),
    greatest: greatest.map((value) => (value === -Infinity ? NaN : value)),
  };
}

/** The y of a line at x; NaN outside of it and in gaps. @param {Points} points @param {number} at */
export function valueAt({ x, y }, at) {
  const place = lowerBound(x, at);
  if (place >= x.length) return NaN;
  if (Number(x[place]) === at) return Number(y[place]);
  if (place === 0) return NaN;
  const [x0, x1] = [Number(x[place - 1]), Number(x[place])];
  const [y0, y1] = [Number(y[place - 1]), Number(y[place])];
  return y0 + ((y1 - y0) * (at - x0)) / (x1 - x0);
}

// -- as text ---------------------------------------------------------------------------------

/** A value, with about five digits that say something. @param {number} value */
export function number(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en").replace("-", "−");
  const rounded = Number(value.toPrecision(5));
  const isFar = size < 1e-4 || size >= 1e7;
  const text = isFar ? rounded.toExponential().replace("e+", "e") : String(rounded);
  return text.replaceAll("-", "−");
}

const SUFFIXES = /** @type {const} */ ([
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
]);

/** A tick of an axis: short, and exact to six digits. @param {number} value */
export function tick(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e15 || size < 1e-4) {
    return Number(value.toPrecision(6)).toExponential().replace("e+", "e").replaceAll("-", "−");
  }
  const sign = value < 0 ? "−" : "";
  for (const [unit, suffix] of SUFFIXES) {
    if (size >= unit * (unit === 1e3 ? 10 : 1)) return sign + trim(size / unit) + suffix;
  }
  return sign + trim(size);
}

/** @param {number} size */
function trim(size) {
  return String(Number(size.toPrecision(6)));
}

/** Seconds on an axis or at the cursor. @param {number} seconds @param {number} [step] */
export function duration(seconds, step = 0) {
  const sign = seconds < 0 ? "−" : "";
  const whole = Math.abs(seconds);
  if (whole < 60) return `${sign}${Number(whole.toFixed(step >= 1 ? 0 : 2))} s`;
  const rounded = Math.round(whole);
  const [h, m, s] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60, rounded % 60];
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  if (h >= 48) return `${sign}${Math.floor(h / 24)} d ${h % 24} h`;
  return h ? `${sign}${h}:${two(m)}:${two(s)}` : `${sign}${m}:${two(s)}`;
}
