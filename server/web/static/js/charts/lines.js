/**
 * What a chart draws: of each run the line as logged and, where asked, the smoothed one; or of each
 * group of runs the mean and how far its runs reach.
 *
 * Data comes in two grains: `coarse` covers all there is, `fine` what is zoomed into. A zoom shows
 * at once what is loaded, and the finer data once it is there.
 */

import { averages, band, lowerBound, smooth } from "./numbers.js";

/** @typedef {import("./numbers.js").Points} Points */
/** @typedef {import("./wire.js").Series} Series */

/**
 * @typedef {object} Run as a chart knows it
 * @property {string} id as in wire.js @property {string} name @property {string} colour CSS
 * @property {string} [run] where `id` is that of one of its writers, `source`
 * @property {string} [source]
 * @property {string} [group] runs of one group are drawn as one
 *
 * @typedef {object} Line
 * @property {string} id @property {string} name @property {string} colour CSS
 * @property {Points} raw as logged @property {Points} shown what the eye follows
 * @property {boolean} isSmooth `raw` stands behind `shown`
 * @property {number} total points that were logged
 * @property {{x: ArrayLike<number>, least: ArrayLike<number>, greatest: ArrayLike<number>}} [area]
 */

const CELLS = 240;

/**
 * @param {Run[]} runs @param {Map<string, Series>} coarse @param {Map<string, Series>} fine
 * @param {{smooth: number, grouped: boolean, range: [number, number]}} how
 * @returns {Line[]}
 */
export function makeLines(runs, coarse, fine, how) {
  /** @type {(Line & {group: string, mean: Points})[]} */
  const lines = [];
  for (const { id, name, colour, group } of runs) {
    const series = fine.get(id) ?? coarse.get(id);
    if (!series || series.x.length === 0) continue;
    const mean = averages(series);
    const isSmooth = how.smooth > 0 && series.x.length > 2;
    const shown = isSmooth ? smoothed(coarse.get(id), series, mean, how.smooth) : series;
    const best = isSmooth ? shown : mean;
    lines.push({
      ...{ id, name, colour, raw: series, shown, isSmooth, total: series.total },
      ...{ group: group ?? name, mean: best },
    });
  }
  return how.grouped ? groups(lines, how.range) : lines;
}

/**
 * The smoothed line; what lies before a zoomed range is averaged as well, so that zooming changes
 * nothing.
 * @param {Series | undefined} whole @param {Series} series @param {Points} mean
 * @param {number} weight
 */
function smoothed(whole, series, mean, weight) {
  const reach = whole && whole.x.length > 1 ? whole : series;
  const spacing = (Number(reach.x.at(-1)) - Number(reach.x[0])) / Math.max(1, reach.total - 1);
  if (!whole || whole === series) return smooth(mean, weight, spacing);
  const before = averages(whole);
  const count = lowerBound(before.x, Number(mean.x[0]));
  const x = [...Array.from(before.x).slice(0, count), ...Array.from(mean.x)];
  const y = [...Array.from(before.y).slice(0, count), ...Array.from(mean.y)];
  const out = smooth({ x, y }, weight, spacing);
  return { x: out.x.subarray(count), y: out.y.subarray(count) };
}

/** @param {(Line & {group: string, mean: Points})[]} lines @param {[number, number]} range */
function groups(lines, [low, high]) {
  /** @type {Map<string, (Line & {mean: Points})[]>} */
  const found = new Map();
  for (const line of lines) found.set(line.group, [...(found.get(line.group) ?? []), line]);
  return [...found].map(([name, members]) => {
    const sources = members.map(({ raw, mean, shown, isSmooth }) => ({
      line: isSmooth ? shown : raw,
      mean,
    }));
    const { x, mean, least, greatest } = band(sources, low, high, CELLS);
    const points = { x, y: mean };
    return {
      id: name,
      name: members.length > 1 ? `${name} (mean of ${members.length})` : name,
      colour: members[0]?.colour ?? "var(--muted)",
      ...{ raw: points, shown: points, isSmooth: false, area: { x, least, greatest } },
      total: members.reduce((sum, line) => sum + line.total, 0),
    };
  });
}
