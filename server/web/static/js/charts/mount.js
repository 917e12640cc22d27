/**
 * Charts where a page has `<div data-charts>` with its facts as JSON: parts/charts.html,
 * parts/system.html and compare.html.
 */

import { colourAt, colourOf, tellApart } from "../colours.js";
import { make, name, swatch } from "../dom.js";
import { Feed } from "./feed.js";
import { Grid } from "./grid.js";
import { follow } from "./live.js";
import { State } from "./state.js";
import { connectToolbar } from "./toolbar.js";
import { lineId } from "./wire.js";
import { nameOf, overlap, writersOf } from "./writers.js";

/** @typedef {import("./lines.js").Run} Run */

/**
 * @typedef {object} Facts
 * @property {string} entity @property {string} project
 * @property {boolean} system the metrics of the machine, instead of all others
 * @property {{id: string, name: string, state: string, config?: Record<string, unknown>}[]} runs
 * @property {import("./writers.js").Writer[]} [sources] of the one run
 * @property {import("./grid.js").Metric[]} metrics
 */

const SYSTEM = "system/";
const RELIST_MS = 5000;

/** @param {HTMLElement} root */
export function mount(root) {
  const text = root.querySelector("script[data-facts]")?.textContent;
  const place = /** @type {HTMLElement | null} */ (root.querySelector("[data-sections]"));
  const bar = /** @type {HTMLElement | null} */ (root.querySelector("[data-toolbar]"));
  if (!text || !place || !bar) return null;
  const facts = /** @type {Facts} */ (JSON.parse(text));
  if (facts.runs.length > 1) tellApart(facts.runs.map(({ id }) => id));
  const state = new State();
  const feed = new Feed(facts.entity, facts.project);
  const grid = new Grid(place, `${facts.entity}/${facts.project}`, feed, state);
  const keys = facts.metrics.map(({ key }) => key);
  connectToolbar(bar, state, keys, configKeys(facts));
  let shown = facts.runs;
  const show = () => {
    const writers = showWriters(bar, facts, state);
    grid.setContent(writers ?? runsOf(shown, state.group), facts.metrics);
  };
  let { group, writers } = state;
  state.addEventListener("change", () => {
    if (group === state.group && writers === state.writers) return;
    ({ group, writers } = state);
    show();
  });
  const box = writersBox(bar);
  box?.addEventListener("change", () => state.set({ writers: box.checked ? "1" : "0" }));
  show();
  const growing = facts.runs.filter((run) => run.state === "running").map(({ id }) => id);
  if (growing.length) keepUp(facts, growing, grid, show);
  /** @param {Facts["runs"]} runs */
  const select = (runs) => {
    shown = runs;
    show();
  };
  return { facts, state, grid, select };
}

/** @param {Facts["runs"]} runs @param {string} by a key of the config; "*" all together @returns {Run[]} */
function runsOf(runs, by) {
  if (!by) return runs.map(({ id, name }) => ({ id, name, colour: colourOf(id) }));
  const groups = runs.map(({ config }) =>
    by === "*" ? "all runs" : `${by} = ${JSON.stringify(config?.[by] ?? null)}`,
  );
  const known = [...new Set(groups)].sort();
  return runs.map(({ id, name }, place) => {
    const group = groups[place] ?? "";
    return { id, name, group, colour: colourAt(known.indexOf(group)) };
  });
}

/**
 * The writers of the one run in place of the run itself, where each is to have a line of its own;
 * whose they are stands beside the box that says so. @param {HTMLElement} bar @param {Facts} facts
 * @param {State} state @returns {Run[] | null}
 */
function showWriters(bar, { runs, sources }, state) {
  const box = writersBox(bar);
  const [run] = runs;
  const writers = writersOf(sources ?? []);
  if (!box || !run) return null;
  const isApart = writers.length > 0 && (state.writers ? state.writers === "1" : overlap(writers));
  const legend = bar.querySelector("[data-writers-legend]");
  if (box.parentElement) box.parentElement.hidden = writers.length === 0;
  box.checked = isApart;
  legend?.replaceChildren();
  if (!isApart) return null;
  return writers.map((writer, place) => {
    const colour = colourAt(place);
    legend?.append(make("li", {}, swatch(colour), name(nameOf(writer))));
    const { uuid: source } = writer;
    return { id: lineId(run.id, source), run: run.id, source, name: nameOf(writer), colour };
  });
}

/** @param {HTMLElement} bar */
function writersBox(bar) {
  return /** @type {HTMLInputElement | null} */ (bar.querySelector('[name="writers"]'));
}

/** Keys of the config by which the runs fall into groups. @param {Facts} facts */
function configKeys({ runs }) {
  if (runs.length < 2) return [];
  /** @type {Map<string, Set<string>>} */
  const values = new Map();
  for (const { config } of runs) {
    for (const [key, value] of Object.entries(config ?? {})) {
      values.set(key, (values.get(key) ?? new Set()).add(JSON.stringify(value)));
    }
  }
  return [...values].filter(([, found]) => found.size > 1).map(([key]) => key).sort();
}

/**
 * Follow what grows; metrics that appear get charts.
 * @param {Facts} facts @param {string[]} growing @param {Grid} grid @param {() => void} show
 */
function keepUp(facts, growing, grid, show) {
  let listed = performance.now();
  follow(facts.entity, facts.project, growing, async (isRunning) => {
    grid.refresh();
    if (performance.now() - listed < RELIST_MS && isRunning) return;
    listed = performance.now();
    const known = new Set(facts.metrics.map(({ key }) => key));
    let isNew = false;
    for (const run of growing.slice(0, 3)) {
      const name = [facts.entity, facts.project, run].map(encodeURIComponent).join("/");
      const answer = await fetch(`/api/v1/runs/${name}`).catch(() => null);
      if (!answer?.ok) continue;
      const { metrics, sources } = await answer.json();
      if (facts.sources) {
        const [before, after] = [writersOf(facts.sources), writersOf(sources)];
        isNew ||= before.length !== after.length || overlap(before) !== overlap(after);
        facts.sources = sources;
      }
      for (const { key, points, step_metric } of metrics) {
        if (known.has(key) || key.startsWith(SYSTEM) !== facts.system) continue;
        known.add(key);
        facts.metrics.push({ key, points, step_metric: step_metric ?? null });
      }
    }
    if (isNew || known.size > grid.metrics.size) show();
  });
}

for (const root of document.querySelectorAll("[data-charts]:not([data-compare])")) {
  mount(/** @type {HTMLElement} */ (root));
}
