/** The axis of a column: numbers (on a log axis where they span decades), or texts side by side. */

import { number } from "../charts/numbers.js";

/** @typedef {import("./mount.js").Run} Run */
/** @typedef {import("./table.js").Column} Column */

/**
 * @typedef {object} Place from a run to a part of the axis, 0 to 1
 * @property {(run: Run) => number} at NaN where the run has no value
 * @property {{part: number, text: string}[]} ticks
 * @property {boolean} log
 */

const WIDE = 30;
const TEXTS = 12;

/** @param {Column} column @param {Run[]} runs @returns {Place} */
export function placeOf(column, runs) {
  return column.isNumber ? numeric(column, runs) : textual(column, runs);
}

/** @param {Column} column @param {Run[]} runs @returns {Place} */
function numeric(column, runs) {
  const values = runs.map((run) => Number(column.value(run) ?? NaN)).filter(Number.isFinite);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (values.length === 0) [low, high] = [0, 1];
  const log = low > 0 && high / low >= WIDE;
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const part = log
    ? (/** @type {number} */ value) => Math.log(value / low) / Math.log(high / low)
    : (/** @type {number} */ value) => (value - low) / (high - low);
  return {
    log,
    at: (run) => {
      const value = column.value(run);
      return typeof value === "number" && Number.isFinite(value) ? part(value) : NaN;
    },
    ticks: (log ? powers(low, high) : rounds(low, high)).map((value) => ({
      ...{ part: part(value), text: number(value) },
    })),
  };
}

/** @param {Column} column @param {Run[]} runs @returns {Place} */
function textual(column, runs) {
  const texts = runs.map((run) => column.value(run)).filter((value) => value != null);
  const all = [...new Set(texts.map(String))].sort();
  const parts = new Map(all.map((text, place) => [text, (place + 0.5) / all.length]));
  const every = Math.ceil(all.length / TEXTS);
  return {
    log: false,
    at: (run) => {
      const value = column.value(run);
      return value == null ? NaN : (parts.get(String(value)) ?? NaN);
    },
    ticks: all
      .filter((_, place) => place % every === 0)
      .map((text) => ({ part: parts.get(text) ?? 0, text })),
  };
}

/** Round numbers within a range, about five. @param {number} low @param {number} high */
export function rounds(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place++) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}

/** 1, 2 and 5 times the powers of ten within a range; powers only where these are many. @param {number} low @param {number} high */
function powers(low, high) {
  const factors = high / low < 1000 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of factors) {
      const value = Number(`${factor}e${power}`);
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found.length > 1 ? found : [low, high];
}
