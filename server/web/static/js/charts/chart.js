/**
 * One chart: uPlot gives axes, grid, cursor and selection; lines are drawn by `draw.js`, because every
 * run has its own x. A chart owns its canvas and its data; what it shows is set from outside by
 * `setData`, `setView` and `setCursor`, and what people do with it goes out through `events`.
 */

import uPlot from "../../vendor/uPlot.esm.js";
import { plainColour } from "../colours.js";
import { SECONDS, isClock, xTick } from "./axes.js";
import { drawLines, stroke, trace } from "./draw.js";
import { makeLines } from "./lines.js";
import { lineId } from "./wire.js";
import { extent, nearest, padded, tick } from "./numbers.js";

/** @typedef {import("./feed.js").Axis} Axis */
/** @typedef {import("./lines.js").Line} Line */
/** @typedef {import("./lines.js").Run} Run */
/** @typedef {import("./wire.js").Series} Series */
/** @typedef {[number, number]} Range */
/** @typedef {any} Plot a uPlot, which comes without types */

/**
 * @typedef {object} View how all charts of a page are looked at
 * @property {number} smooth 0 to below 1
 * @property {boolean} logX @property {boolean} logY
 * @property {boolean} clip outliers do not stretch the y axis
 * @property {boolean} grouped
 *
 * @typedef {object} Events
 * @property {(range: Range | null) => void} range zoomed or moved by hand
 * @property {(x: number | null) => void} cursor
 * @property {() => void} resized
 * @property {(plot: Plot) => void} made there is a (new) plot to listen to
 */

const CLIP = 0.01;
/** How far data may be stretched before finer data is asked for. */
const ENOUGH = 1.34;

export class Chart {
  /**
   * @param {HTMLElement} host of fixed size
   * @param {Run[]} runs @param {Axis} axis @param {View} view @param {Events} events
   */
  constructor(host, runs, axis, view, events) {
    this.host = host;
    this.runs = runs;
    this.axis = axis;
    this.view = view;
    this.events = events;
    /** @type {Map<string, Series>} */
    this.coarse = new Map();
    /** @type {Map<string, Series>} */
    this.fine = new Map();
    /** @type {Range | null} */
    this.fineRange = null;
    /** Pixel columns that the data was thinned to. */
    this.columns = 0;
    this.fineColumns = 0;
    /** Rows have come since. */
    this.isFineOld = false;
    /** @type {Range | null} what is shown; null = everything */
    this.range = null;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {string | null} the line that stands out */
    this.focus = null;
    /** @type {number | null} */
    this.cursor = null;
    /** @type {number | null} how far below the plot's top the hand is */
    this.hand = null;
    this.ticks = { x: /** @type {Tick[]} */ ([]), y: /** @type {Tick[]} */ ([]) };
    /** @type {Plot} */
    this.plot = this.#makePlot();
    this.overlay = this.#makeOverlay();
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(host);
  }

  destroy() {
    this.observer.disconnect();
    this.plot.destroy();
  }

  // -- what is shown ---------------------------------------------------------------------------

  /**
   * Series of all there is, or of a range, thinned to so many columns.
   * @param {Series[]} series @param {Range | null} range @param {number} columns
   */
  setData(series, range, columns) {
    const found = new Map(series.map((line) => [lineId(line.run, line.source), line]));
    if (range) {
      this.fine = found;
      this.fineRange = range;
      this.fineColumns = columns;
      this.isFineOld = false;
    } else {
      this.columns = columns;
      this.isFineOld = this.coarse.size > 0;
      this.coarse = found;
      if (!this.range) this.#dropFine();
    }
    this.refresh();
  }

  /** @param {Range | null} range @param {View} view */
  setView(range, view) {
    const same = range?.[0] === this.range?.[0] && range?.[1] === this.range?.[1];
    if (same && view === this.view) return;
    const redone = view.logX !== this.view.logX || view.logY !== this.view.logY;
    this.range = range;
    this.view = view;
    if (redone) this.#remake();
    if (!range) this.#dropFine();
    this.refresh();
  }

  /** Draw these runs; gives whether the data of all of them is here. @param {Run[]} runs */
  setRuns(runs) {
    this.runs = runs;
    this.refresh();
    return runs.every(({ id }) => this.coarse.has(id));
  }

  #dropFine() {
    this.fine = new Map();
    this.fineRange = null;
  }

  /** Whether what is shown cannot be shown in more detail, or not yet. @param {number} columns */
  isSharp(columns) {
    if ([...this.coarse.values()].every((line) => line.meanX.length === 0)) return true;
    const { range, fineRange } = this;
    if (!range) return this.columns * ENOUGH >= columns;
    const isSame = fineRange?.[0] === range[0] && fineRange[1] === range[1];
    return isSame && !this.isFineOld && this.fineColumns * ENOUGH >= columns;
  }

  /** Draw again with what is here. */
  refresh() {
    const [low, high] = this.shownRange();
    const covers = this.fineRange && this.fineRange[0] <= low && this.fineRange[1] >= high;
    this.lines = makeLines(this.runs, this.coarse, covers ? this.fine : new Map(), {
      smooth: this.view.smooth,
      grouped: this.view.grouped,
      range: [low, high],
    });
    const [y0, y1] = this.#yRange(low, high);
    this.plot.batch(() => {
      this.plot.setScale("x", { min: low, max: high });
      this.plot.setScale("y", { min: y0, max: y1 });
    });
    this.#drawOverlay();
  }

  /** All that there is, from the first point to the last. @returns {Range} */
  fullRange() {
    let [low, high] = [Infinity, -Infinity];
    for (const { id } of this.runs) {
      const x = this.coarse.get(id)?.x;
      if (!x || x.length === 0) continue;
      const first = this.view.logX ? (x.find((value) => value > 0) ?? Infinity) : Number(x[0]);
      low = Math.min(low, first);
      high = Math.max(high, Number(x.at(-1)));
    }
    if (low > high) return [0, 1];
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }

  /** @returns {Range} */
  shownRange() {
    const [low, high] = this.range ?? this.fullRange();
    return this.view.logX && low <= 0 ? [Math.min(1, high / 10), high] : [low, high];
  }

  /** @param {number} low @param {number} high @returns {Range} */
  #yRange(low, high) {
    const clip = this.view.clip ? CLIP : 0;
    const parts = this.lines.flatMap((line) =>
      line.area
        ? [
            { x: line.area.x, y: line.area.least },
            { x: line.area.x, y: line.area.greatest },
          ]
        : [line.raw],
    );
    return padded(extent(parts, low, high, { positive: this.view.logY, clip }), this.view.logY);
  }

  // -- the cursor ------------------------------------------------------------------------------

  /** Show the cursor at x, wherever it came from. @param {number | null} x */
  setCursor(x) {
    this.cursor = x;
    const [low, high] = this.shownRange();
    const isIn = x !== null && x >= low && x <= high;
    const left = isIn ? this.plot.valToPos(x, "x") : -10;
    this.plot.setCursor({ left, top: isIn ? 0 : -10 }, false);
    this.#drawOverlay();
  }

  /** The lines' points nearest to x. @param {number} x */
  valuesAt(x) {
    const { x: scale } = this.scales();
    const reach = (Math.abs(scale.max - scale.min) / Math.max(1, this.plot.bbox.width)) * 24;
    return this.lines.flatMap((line) => {
      const place = nearest(line.shown.x, x);
      if (place < 0) return [];
      const at = Number(line.shown.x[place]);
      const [first, last] = [Number(line.shown.x[0]), Number(line.shown.x[line.shown.x.length - 1])];
      if ((x < first || x > last) && Math.abs(at - x) > reach) return [];
      return [{ line, x: at, y: Number(line.shown.y[place]) }];
    });
  }

  /** @param {string | null} id the line that is to stand out */
  setFocus(id) {
    if (id === this.focus) return;
    this.focus = id;
    this.#drawOverlay();
  }

  // -- drawing ---------------------------------------------------------------------------------

  /** The axes, in canvas pixels. */
  scales() {
    const { left, top, width, height } = this.plot.bbox;
    const { x, y } = this.plot.scales;
    return {
      x: {
        ...{ min: x?.min ?? 0, max: x?.max ?? 1, log: this.view.logX },
        ...{ from: left, to: left + width },
      },
      y: {
        ...{ min: y?.min ?? 0, max: y?.max ?? 1, log: this.view.logY },
        ...{ from: top + height, to: top },
      },
    };
  }

  #drawOverlay() {
    const canvas = this.overlay;
    const unit = uPlot.pxRatio;
    const { left, top, width, height } = this.plot.bbox;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, width, height);
    if (this.cursor === null && !this.focus) return;
    const { x, y } = this.scales();
    const toX = { ...x, from: 0, to: width };
    const toY = { ...y, from: y.from - top, to: 0 };
    const focused = this.lines.find((line) => line.id === this.focus);
    if (focused && this.lines.length > 1) {
      const look = { colour: plainColour(focused.colour), width: 3 * unit };
      stroke(context, look, () => trace(context, focused.shown, toX, toY));
    }
    if (this.cursor === null || this.lines.length > 12) return;
    for (const { line, x: at, y: value } of this.valuesAt(this.cursor)) {
      const px = this.plot.valToPos(at, "x", true) - left;
      const py = this.plot.valToPos(value, "y", true) - top;
      if (!Number.isFinite(py)) continue;
      context.fillStyle = plainColour(line.colour);
      context.strokeStyle = plainColour("var(--surface)");
      context.lineWidth = 1.5 * unit;
      context.beginPath();
      context.arc(px, py, 3.5 * unit, 0, 7);
      context.fill();
      context.stroke();
    }
  }

  /** Colours of the theme changed. */
  repaint() {
    this.plot.redraw(false, true);
    this.#drawOverlay();
  }

  // -- uPlot -----------------------------------------------------------------------------------

  #makePlot() {
    const { width, height } = this.#size();
    /** @type {any} */
    const options = {
      ...{ width, height, padding: [8, 12, 0, 0], legend: { show: false } },
      scales: {
        x: { time: false, auto: false, distr: this.view.logX ? 3 : 1, range: same },
        y: { auto: false, distr: this.view.logY ? 3 : 1, range: same },
      },
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      axes: [this.#makeAxis("x"), this.#makeAxis("y")],
      cursor: {
        ...{ y: false, points: { show: false }, focus: { prox: -1 } },
        drag: { x: true, y: false, setScale: false },
      },
      hooks: {
        draw: [() => drawLines(this.plot.ctx, this.lines, this.scales(), uPlot.pxRatio)],
        setSelect: [() => this.#selected()],
      },
    };
    /** @type {Plot} */
    const plot = new /** @type {any} */ (uPlot)(options, [[0, 1], [null, null]], this.host);
    plot.root.setAttribute("aria-hidden", "true");
    this.events.made(plot);
    return plot;
  }

  /** @param {"x" | "y"} which @returns {any} */
  #makeAxis(which) {
    const isX = which === "x";
    const log = isX ? this.view.logX : this.view.logY;
    return {
      scale: which,
      stroke: () => plainColour("var(--muted)"),
      grid: { stroke: () => plainColour("var(--line)"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
      gap: 4,
      size: isX ? 24 : 52,
      space: isX ? 64 : 32,
      ...(isX && isClock(this.axis) && !log ? { incrs: SECONDS } : {}),
      values: (/** @type {any} */ _, /** @type {number[]} */ splits) => {
        const step = splits.length > 1 ? Number(splits[1]) - Number(splits[0]) : 0;
        const texts = splits.map((value) => this.#tickText(which, value, log ? 0 : step));
        this.ticks[which] = splits.map((value, place) => ({ value, text: texts[place] ?? "" }));
        return texts;
      },
    };
  }

  /** @param {"x" | "y"} which @param {number | null} value @param {number} step */
  #tickText(which, value, step) {
    if (value === null) return "";
    if (which === "x" && isClock(this.axis)) return xTick(this.axis, value, step);
    const isLog = which === "x" ? this.view.logX : this.view.logY;
    const { min, max } = this.scales()[which];
    const isPower = Math.abs(Math.log10(value) % 1) < 1e-9;
    return isLog && max / min >= 100 && !isPower ? "" : tick(value);
  }

  #remake() {
    this.plot.destroy();
    this.plot = this.#makePlot();
    this.overlay = this.#makeOverlay();
  }

  #makeOverlay() {
    const canvas = document.createElement("canvas");
    canvas.className = "chart-overlay";
    this.plot.over.prepend(canvas);
    return canvas;
  }

  #selected() {
    const { left, width } = this.plot.select;
    if (width < 4) return;
    const range = /** @type {Range} */ ([
      this.plot.posToVal(left, "x"),
      this.plot.posToVal(left + width, "x"),
    ]);
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.events.range(range);
  }

  #size() {
    return {
      width: Math.max(120, this.host.clientWidth),
      height: Math.max(80, this.host.clientHeight),
    };
  }

  #resize() {
    const { width, height } = this.#size();
    if (width === this.plot.width && height === this.plot.height) return;
    this.plot.setSize({ width, height });
    this.#drawOverlay();
    this.events.resized();
  }
}

/** @typedef {{value: number, text: string}} Tick */

/** @param {unknown} _ @param {number} min @param {number} max @returns {Range} */
function same(_, min, max) {
  return [min, max];
}
