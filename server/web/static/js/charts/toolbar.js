/** The controls above the charts, which the server has put there, and the state that they show. */

import { make } from "../dom.js";

/** @typedef {import("./state.js").State} State */

/** @param {HTMLElement} bar @param {State} state @param {string[]} metrics @param {string[]} groups */
export function connectToolbar(bar, state, metrics, groups) {
  const find = /** @type {HTMLInputElement} */ (control(bar, "find"));
  const x = /** @type {HTMLSelectElement} */ (control(bar, "x"));
  const smooth = /** @type {HTMLInputElement} */ (control(bar, "smooth"));
  const told = bar.querySelector("[data-smooth-value]");
  const reset = bar.querySelector("[data-reset]");
  const group = /** @type {HTMLSelectElement | null} */ (bar.querySelector('[name="group"]'));
  offer(x, metrics.map((key) => [`metric:${key}`, key]), "By a metric");
  if (group) offer(group, groups.map((key) => [key, key]), "");

  find.addEventListener("input", () => state.set({ find: find.value }));
  x.addEventListener("change", () => state.set({ x: x.value }));
  smooth.addEventListener("input", () => state.set({ smooth: weightOf(Number(smooth.value)) }));
  group?.addEventListener("change", () => state.set({ group: group.value }));
  reset?.addEventListener("click", () => state.resetRanges());
  for (const box of boxes(bar)) {
    if (box.name === "writers") continue;
    box.addEventListener("change", () => {
      if (box.name === "logy") state.toggleLogY("*");
      else state.set({ [box.name === "logx" ? "logX" : "clip"]: box.checked });
    });
  }

  const show = () => {
    if (find !== document.activeElement) find.value = state.find;
    x.value = state.x;
    if (x.selectedIndex < 0) x.value = "auto";
    if (group) group.value = state.group;
    smooth.value = String(sliderOf(state.smooth));
    if (told) told.textContent = state.smooth ? state.smooth.toFixed(state.smooth > 0.99 ? 3 : 2) : "off";
    if (reset instanceof HTMLButtonElement) reset.disabled = state.ranges.size === 0;
    for (const box of boxes(bar)) {
      if (box.name === "logx") box.checked = state.logX;
      if (box.name === "clip") box.checked = state.clip;
      if (box.name === "logy") box.checked = state.logY.has("*");
    }
  };
  state.addEventListener("change", show);
  show();
}

/** The slider is finer where the line gets smoother: 0 ... 100 is 0 ... 0.999. @param {number} slider */
export function weightOf(slider) {
  return slider <= 0 ? 0 : Math.round((1 - 10 ** (-3 * (slider / 100))) * 1000) / 1000;
}

/** @param {number} weight */
function sliderOf(weight) {
  return weight <= 0 ? 0 : Math.round((-100 / 3) * Math.log10(1 - weight));
}

/** @param {HTMLElement} bar @param {string} name */
function control(bar, name) {
  const found = bar.querySelector(`[name="${name}"]`);
  if (!found) throw new Error(`no ${name}`);
  return found;
}

/** @param {HTMLElement} bar */
function boxes(bar) {
  return /** @type {NodeListOf<HTMLInputElement>} */ (bar.querySelectorAll('[type="checkbox"]'));
}

/** @param {HTMLSelectElement} select @param {string[][]} choices value and text @param {string} label */
function offer(select, choices, label) {
  const known = new Set([...select.options].map((option) => option.value));
  const options = choices
    .filter(([value]) => value !== undefined && !known.has(value))
    .map(([value = "", text = ""]) => make("option", { value }, text));
  if (options.length === 0) return;
  select.append(...(label ? [make("optgroup", { label }, ...options)] : options));
}
