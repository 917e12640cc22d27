/**
 * Fetching series: many runs and metrics in one request, and every single point for a file.
 *
 * A request may be cancelled; what was cancelled never answers. Addresses stay below the length
 * that every proxy takes, so very many runs are several requests.
 */

import { TYPE, readSeries } from "./wire.js";

/** @typedef {import("./wire.js").Series} Series */

/**
 * @typedef {object} Axis what the x of a chart is
 * @property {"step" | "time" | "relative" | "metric"} x
 * @property {string} [key] with "metric": whose values
 *
 * @typedef {object} Wish
 * @property {string[]} runs ids
 * @property {string[]} keys
 * @property {Axis} axis
 * @property {number} columns pixels
 * @property {[number, number] | null} range null: all there is
 * @property {boolean} [single] y as float32
 * @property {number} [writers] of the one run, each of which is to have series of its own
 */

const LONGEST = 6000;
const MOST_SERIES = 1000;
const MOST_COLUMNS = 1_000_000;
const MOST_RUNS = 200;
const EXACT_COLUMNS = 10_000;

export class Feed {
  /** @param {string} entity @param {string} project */
  constructor(entity, project) {
    const name = [entity, project].map(encodeURIComponent).join("/");
    this.address = `/api/v1/projects/${name}/series`;
  }

  /**
   * The series of every run and key.
   * @param {Wish} wish @param {AbortSignal} [signal] @returns {Promise<Series[]>}
   */
  async fetch(wish, signal) {
    const common = new URLSearchParams({ x: wish.axis.x, mean: "1" });
    if (wish.axis.x === "metric") common.append("x_key", wish.axis.key ?? "");
    common.append("points", String(Math.max(1, Math.round(wish.columns))));
    if (wish.single) common.append("type", "float32");
    if (wish.writers) common.append("by", "source");
    if (wish.range) {
      common.append("from", String(wish.range[0]));
      common.append("to", String(wish.range[1]));
    }
    const parts = split(wish).map(async ({ runs, keys }) => {
      const query = new URLSearchParams(common);
      for (const run of runs) query.append("run", run);
      for (const key of keys) query.append("key", key);
      const answer = await fetch(`${this.address}?${query}`, {
        headers: { Accept: TYPE },
        signal: signal ?? null,
      });
      if (!answer.ok) throw new Error(await problem(answer));
      return readSeries(await answer.arrayBuffer()).series;
    });
    return (await Promise.all(parts)).flat();
  }

  /**
   * Every point of one metric of one run, in the order of x: a range that comes thinned is asked
   * for again in halves.
   * @param {{run: string, source: string}} of @param {string} key @param {Axis} axis
   * @returns {Promise<[number, number][]>}
   */
  async all({ run, source }, key, axis) {
    const writers = Number(source !== "");
    const whole = { runs: [run], keys: [key], axis, columns: EXACT_COLUMNS, range: null, writers };
    const fetch = async (/** @type {Wish} */ wish) =>
      (await this.fetch(wish)).find((line) => line.source === source);
    const first = await fetch(whole);
    if (!first || first.x.length === 0) return [];
    if (first.meanX.length === 0) return pairs(first, -Infinity, Infinity);
    const end = Number(first.x.at(-1));
    /** @type {[number, number][]} */
    const found = [];
    /** @type {[number, number][]} */
    const ranges = [[Number(first.x[0]), end]];
    for (let range = ranges.pop(); range; range = ranges.pop()) {
      const [low, high] = range;
      const part = await fetch({ ...whole, range });
      const middle = (low + high) / 2;
      if (!part) continue;
      if (part.meanX.length === 0 || middle <= low || middle >= high) {
        for (const pair of pairs(part, low, high === end ? Infinity : high)) found.push(pair);
      } else {
        ranges.push([middle, high], [low, middle]);
      }
    }
    return found;
  }
}

/** @param {Series} series @param {number} low @param {number} high excluded */
function pairs(series, low, high) {
  /** @type {[number, number][]} */
  const found = [];
  series.x.forEach((x, place) => {
    if (x >= low && x < high) found.push([x, Number(series.y[place])]);
  });
  return found;
}

/** Runs and keys of a wish in requests that are not too long. @param {Wish} wish */
function split(wish) {
  const all = Math.min(MOST_SERIES, Math.floor(MOST_COLUMNS / Math.max(1, wish.columns)));
  const most = Math.max(1, Math.floor(all / (wish.writers || 1)));
  const requests = [];
  for (const keys of slices(wish.keys, Math.min(100, most), LONGEST / 2)) {
    const runs = Math.min(MOST_RUNS, Math.floor(most / keys.length));
    for (const part of slices(wish.runs, runs, LONGEST / 2)) requests.push({ runs: part, keys });
  }
  return requests;
}

/** @param {string[]} names @param {number} most @param {number} longest */
function slices(names, most, longest) {
  /** @type {string[][]} */
  const parts = [];
  let length = Infinity;
  for (const name of names) {
    const cost = encodeURIComponent(name).length + 5;
    const last = parts.at(-1);
    if (!last || last.length >= most || length + cost > longest) {
      parts.push([name]);
      length = cost;
    } else {
      last.push(name);
      length += cost;
    }
  }
  return parts;
}

/** What the server says is wrong. @param {Response} answer */
async function problem(answer) {
  const said = await answer.json().catch(() => null);
  return said?.error?.message ?? said?.message ?? `the server answered ${answer.status}`;
}
