/** The table of differences, which the server rendered: equal rows are folded, hidden runs left out. */

/** @typedef {import("./mount.js").Run} Run */

/**
 * @typedef {object} Column a number or a text of each run
 * @property {string} name @property {string} label
 * @property {(run: Run) => unknown} value
 * @property {boolean} isNumber @property {boolean} varies
 */

/** What runs can be plotted by: config, summary. @param {Run[]} runs @returns {Column[]} */
export function columnsOf(runs) {
  /** @type {Column[]} */
  const columns = [];
  for (const where of /** @type {const} */ (["config", "summary"])) {
    const keys = new Set(runs.flatMap((run) => Object.keys(part(run, where))));
    for (const key of [...keys].sort()) {
      const values = runs.map((run) => part(run, where)[key]).filter((value) => value != null);
      const isNumber = values.every((value) => typeof value === "number");
      const varies = new Set(values.map((value) => JSON.stringify(value))).size > 1;
      const value = (/** @type {Run} */ run) => part(run, where)[key];
      columns.push({ name: `${where}.${key}`, label: key, value, isNumber, varies });
    }
  }
  return columns;
}

/** @param {Run} run @param {"config" | "summary"} where @returns {Record<string, unknown>} */
function part(run, where) {
  return /** @type {any} */ (run)[where] ?? {};
}

export class Table {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    for (const found of element.querySelectorAll("[data-show-equal]")) {
      const box = /** @type {HTMLInputElement} */ (found);
      box.addEventListener("change", () => {
        for (const row of box.closest(".card")?.querySelectorAll("tr.equal") ?? []) {
          /** @type {HTMLElement} */ (row).hidden = !box.checked;
        }
      });
    }
  }

  /** @param {Run[]} runs */
  show(runs) {
    const ids = new Set(runs.map(({ id }) => id));
    for (const found of this.element.querySelectorAll("[data-column]")) {
      const cell = /** @type {HTMLElement} */ (found);
      cell.hidden = !ids.has(cell.dataset.column ?? "");
    }
  }
}
