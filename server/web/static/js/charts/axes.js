/** What stands on an x axis and at the cursor. */

import { duration, number } from "./numbers.js";

/** @typedef {import("./feed.js").Axis} Axis */

/** Distances of ticks that clocks have, in seconds. */
export const SECONDS = [
  ...[0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3600),
  ...[1, 2, 5, 10, 30, 100].map((days) => days * 86400),
];

/** What ranges and cursors are shared by. @param {Axis} axis */
export function axisName(axis) {
  return axis.x === "metric" ? `metric:${axis.key}` : axis.x;
}

/** Whether x is seconds. @param {Axis} axis */
export function isClock({ x }) {
  return x === "time" || x === "relative";
}

/** A tick in seconds. @param {Axis} axis @param {number} value @param {number} step */
export function xTick({ x }, value, step) {
  return x === "time" ? wallTime(value, step) : duration(value, step);
}

/** The x of the cursor. @param {Axis} axis @param {number} x */
export function xText(axis, x) {
  if (axis.x === "time") return new Date(x * 1000).toLocaleString();
  if (axis.x === "relative") return duration(x);
  if (axis.x === "step") return `step ${number(Math.round(x))}`;
  return `${axis.key} ${number(x)}`;
}

/** @param {number} seconds @param {number} step */
function wallTime(seconds, step) {
  const at = new Date(seconds * 1000);
  if (step >= 86400) return at.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  /** @type {Intl.DateTimeFormatOptions} */
  const parts = { hour: "2-digit", minute: "2-digit", hour12: false };
  return at.toLocaleTimeString(undefined, step < 60 ? { ...parts, second: "2-digit" } : parts);
}
