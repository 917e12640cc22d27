/** Runs that grow: charts follow by server-sent events, at most once a second. */

import { listen } from "../events.js";

const LEAST_MS = 1000;

/**
 * Call `changed` when rows of these runs came.
 * @param {string} entity @param {string} project @param {string[]} runs ids of those that grow
 * @param {(isRunning: boolean) => void} changed
 */
export function follow(entity, project, runs, changed) {
  let last = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @param {boolean} isRunning */
  const tell = (isRunning) => {
    clearTimeout(timer);
    const wait = Math.max(0, last + LEAST_MS - performance.now());
    timer = setTimeout(() => {
      last = performance.now();
      changed(isRunning);
    }, wait);
  };
  const name = [entity, project].map(encodeURIComponent).join("/");
  const [only] = runs;
  if (runs.length === 1 && only !== undefined) {
    const address = `/api/v1/runs/${name}/${encodeURIComponent(only)}/events`;
    listen(address, "rows", ({ state }) => tell(state === "running"));
  } else {
    const known = new Set(runs);
    listen(`/api/v1/projects/${name}/events`, "runs", ({ changed: ids }) => {
      if (ids.some((/** @type {string} */ id) => known.has(id))) tell(true);
    });
  }
}
