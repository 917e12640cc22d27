/**
 * What hands do to a chart. uPlot itself selects a range by dragging; here are moving (shift-drag,
 * sideways wheel), zooming (ctrl-wheel), the finger, and the keys:
 *
 *     ← →  cursor, with shift ten points · Home End  first, last · ↑ ↓  next run · + −  zoom
 *     f  full screen · l  log axis · Escape  back
 */

/** @typedef {import("./chart.js").Chart} Chart */
/** @typedef {[number, number]} Range */

/** A range moved by a part of its width, or zoomed around x. */
export const ranges = {
  /** @param {Range} range @param {number} part @param {boolean} log @returns {Range} */
  moved([low, high], part, log) {
    if (log) {
      const factor = (high / low) ** part;
      return [low * factor, high * factor];
    }
    const shift = (high - low) * part;
    return [low + shift, high + shift];
  },
  /** @param {Range} range @param {number} x @param {number} factor @param {boolean} log @returns {Range} */
  zoomed([low, high], x, factor, log) {
    if (log) return [x * (low / x) ** factor, x * (high / x) ** factor];
    return [x - (x - low) * factor, x + (high - x) * factor];
  },
};

/**
 * @param {Chart} chart @param {HTMLElement} over the plotting area, made anew with each plot
 */
export function listenToPointer(chart, over) {
  over.addEventListener(
    "mousedown",
    (event) => {
      if (!event.shiftKey || event.button !== 0) return;
      event.stopImmediatePropagation();
      event.preventDefault();
      pan(chart, event);
    },
    { capture: true },
  );
  over.addEventListener("dblclick", () => chart.events.range(null));
  over.addEventListener("wheel", (event) => wheel(chart, event), { passive: false });
  over.addEventListener("pointermove", (event) => {
    const { left, top } = over.getBoundingClientRect();
    chart.hand = event.clientY - top;
    chart.events.cursor(chart.plot.posToVal(event.clientX - left, "x"));
  });
  over.addEventListener("pointerleave", () => {
    chart.hand = null;
    chart.events.cursor(null);
  });
}

/** @param {Chart} chart @param {MouseEvent} start */
function pan(chart, start) {
  const range = chart.shownRange();
  const width = chart.plot.over.clientWidth;
  /** @param {MouseEvent} event */
  const move = (event) => {
    const part = (start.clientX - event.clientX) / width;
    chart.events.range(ranges.moved(range, part, chart.view.logX));
  };
  const end = new AbortController();
  document.addEventListener("mousemove", move, { signal: end.signal });
  document.addEventListener("mouseup", () => end.abort(), { signal: end.signal });
}

/** @param {Chart} chart @param {WheelEvent} event */
function wheel(chart, event) {
  const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
  const { left, width } = chart.plot.over.getBoundingClientRect();
  if (event.ctrlKey || event.metaKey) {
    const x = chart.plot.posToVal(event.clientX - left, "x");
    zoom(chart, x, 1.0015 ** event.deltaY);
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    chart.events.range(ranges.moved(chart.shownRange(), sideways / width, chart.view.logX));
  } else {
    return; // the page scrolls
  }
  event.preventDefault();
}

/** @param {Chart} chart @param {number} x @param {number} factor */
function zoom(chart, x, factor) {
  const range = ranges.zoomed(chart.shownRange(), x, factor, chart.view.logX);
  const [low, high] = chart.fullRange();
  const isAll = range[0] <= low && range[1] >= high;
  chart.events.range(isAll ? null : range);
}

/**
 * Do what a key says; gives whether it said anything.
 * @param {Chart} chart @param {KeyboardEvent} event
 */
export function pressKey(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const [low, high] = chart.shownRange();
  const x = chart.cursor ?? (low + high) / 2;
  switch (event.key) {
    case "ArrowLeft":
    case "ArrowRight":
      step(chart, (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1));
      return true;
    case "Home":
    case "End":
      chart.events.cursor(event.key === "Home" ? low : high);
      return true;
    case "ArrowUp":
    case "ArrowDown":
      return nextLine(chart, event.key === "ArrowUp" ? -1 : 1);
    case "+":
    case "=":
      zoom(chart, x, 0.5);
      return true;
    case "-":
    case "_":
      zoom(chart, x, 2);
      return true;
    default:
      return false;
  }
}

/** Move the cursor by points of the line that stands out. @param {Chart} chart @param {number} by */
function step(chart, by) {
  const line = chart.lines.find(({ id }) => id === chart.focus) ?? chart.lines[0];
  if (!line || line.shown.x.length === 0) return;
  const { x } = line.shown;
  const [low, high] = chart.shownRange();
  let place = 0;
  const from = chart.cursor ?? (by > 0 ? low : high);
  if (by > 0) {
    while (place < x.length - 1 && Number(x[place]) <= from) place++;
    place += by - 1;
  } else {
    place = x.length - 1;
    while (place > 0 && Number(x[place]) >= from) place--;
    place += by + 1;
  }
  const at = Number(x[Math.min(x.length - 1, Math.max(0, place))]);
  chart.events.cursor(Math.min(high, Math.max(low, at)));
}

/** @param {Chart} chart @param {number} by */
function nextLine(chart, by) {
  const count = chart.lines.length;
  if (count < 2) return false;
  const place = chart.lines.findIndex(({ id }) => id === chart.focus);
  chart.setFocus(chart.lines[(place + by + count) % count]?.id ?? null);
  chart.events.cursor(chart.cursor ?? chart.shownRange()[1]);
  return true;
}
