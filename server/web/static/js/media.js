/**
 * What was logged beside numbers: a card for each key, with its values by step.
 *
 * Pictures and tables in files are those of the run's own files; nothing is shown as markup.
 */

import { visible } from "./dom.js";
import { listen } from "./events.js";

const PART = 100;
const ROWS = 1000;

/** @typedef {{key: string, types: string[], count: number, first: number, last: number}} Key */
/** @typedef {{seq: number, step: number, type: string, data: any}} Value */

const section = /** @type {HTMLElement} */ (document.querySelector("[data-media]"));
const api = /** @type {HTMLElement} */ (document.querySelector("[data-api]")).dataset.api ?? "";
/** @type {Map<string, Card>} */
const cards = new Map();

/** @param {string} tag @param {string} [text] @param {string} [kind] */
function made(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = visible(text);
  if (kind) element.className = kind;
  return element;
}

/** @param {unknown} value */
const words = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The address of a file, name by name. @param {string} path */
const fileAt = (path) => `${api}/files/${path.split("/").map(encodeURIComponent).join("/")}`;

class Card {
  /** @param {Key} key */
  constructor(key) {
    this.key = key;
    /** @type {Value[]} */
    this.values = [];
    this.more = true;
    this.element = made("section", "", "card");
    this.element.dataset.key = key.key;
    const head = made("header");
    const title = made("h2", "", "cut");
    title.append(made("bdi", key.key));
    head.append(title, made("span", key.types.join(", "), "muted"));
    this.stage = made("div", "", "stage");
    this.stage.tabIndex = 0;
    this.slider = document.createElement("input");
    this.slider.type = "range";
    this.slider.min = "0";
    this.slider.setAttribute("aria-label", `Step of ${key.key}`);
    this.told = made("span", "", "muted number");
    const foot = made("footer");
    foot.append(this.slider, this.told);
    this.element.append(head, this.stage, foot);
    this.slider.addEventListener("input", () => void this.show());
  }

  /** Fetch what is not here yet, up to the value with an index. @param {number} index */
  async fetchTo(index) {
    while (this.more && this.values.length <= index) {
      const after = this.values.at(-1)?.seq ?? 0;
      const key = encodeURIComponent(this.key.key);
      const answer = await fetch(`${api}/objects/${key}?after=${after}&limit=${PART}`);
      if (!answer.ok) throw new Error(`objects: ${answer.status}`);
      const found = await answer.json();
      this.values.push(...found.objects);
      this.more = found.more;
    }
  }

  /** @param {Key} key */
  async grow(key) {
    const wasAtEnd = Number(this.slider.value) >= Number(this.slider.max);
    this.key = key;
    this.more = true;
    this.slider.max = String(key.count - 1);
    if (wasAtEnd) this.slider.value = this.slider.max;
    this.slider.hidden = key.count < 2;
    await this.show();
  }

  async show() {
    const index = Number(this.slider.value);
    await this.fetchTo(index);
    const value = this.values[index];
    if (!value || index !== Number(this.slider.value)) return;
    this.told.textContent = `step ${value.step}`;
    this.slider.setAttribute("aria-valuetext", `step ${value.step}`);
    this.stage.replaceChildren(...(await draw(value)));
  }
}

/** @param {Value} value @returns {Promise<Node[]>} */
async function draw({ type, data }) {
  if (type.startsWith("image") && typeof data?.path === "string") return picture(data);
  if (type === "histogram" && Array.isArray(data?.bins) && Array.isArray(data?.values)) {
    return [histogram(data.bins.map(Number), data.values.map(Number))];
  }
  if (type === "table-file" && typeof data?.path === "string") {
    const answer = await fetch(fileAt(data.path));
    if (answer.ok) return [table(await answer.json())];
  }
  if (type.startsWith("table") || (Array.isArray(data?.columns) && Array.isArray(data?.data))) {
    return [table(data)];
  }
  return [made("pre", typeof data === "string" ? data : JSON.stringify(data, null, 2))];
}

/** @param {{path: string, caption?: unknown}} data */
function picture(data) {
  const image = new Image();
  image.alt = data.caption ? words(data.caption) : data.path;
  image.src = `${fileAt(data.path)}?view=inline`;
  image.addEventListener("error", () => image.replaceWith(made("p", `${data.path} has not come.`, "muted")));
  return [image];
}

/** @param {{columns?: unknown, data?: unknown}} found */
function table(found) {
  const columns = Array.isArray(found.columns) ? found.columns : [];
  const data = Array.isArray(found.data) ? found.data : [];
  const whole = document.createElement("table");
  const head = whole.createTHead().insertRow();
  for (const name of columns) head.append(made("th", words(name), "cut"));
  const body = whole.createTBody();
  for (const row of data.slice(0, ROWS)) {
    const line = body.insertRow();
    for (const cell of Array.isArray(row) ? row : [row]) {
      const kind = typeof cell === "number" ? "cut number" : "cut";
      line.append(made("td", cell === null ? "–" : words(cell), kind));
    }
  }
  if (data.length > ROWS) body.insertRow().append(made("td", `and ${data.length - ROWS} more rows`, "muted"));
  return whole;
}

/** @param {number[]} bins @param {number[]} values */
function histogram(bins, values) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const [width, height] = [400, 240];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  const [low, high] = [bins[0] ?? 0, bins.at(-1) ?? 1];
  svg.setAttribute("aria-label", `Histogram of ${values.length} bins from ${low} to ${high}`);
  const most = Math.max(...values, 1e-300);
  values.forEach((value, index) => {
    const from = bins[index] ?? index;
    const to = bins[index + 1] ?? from;
    const bar = document.createElementNS(space, "rect");
    const x = ((from - low) / (high - low || 1)) * width;
    const tall = (Math.max(0, value) / most) * (height - 24);
    bar.setAttribute("x", String(x));
    bar.setAttribute("y", String(height - 20 - tall));
    bar.setAttribute("width", String(Math.max(0.5, ((to - from) / (high - low || 1)) * width - 1)));
    bar.setAttribute("height", String(tall));
    const title = document.createElementNS(space, "title");
    title.textContent = `${from} to ${to}: ${value}`;
    bar.append(title);
    svg.append(bar);
  });
  for (const [x, anchor, value] of /** @type {[number, string, number][]} */ ([[0, "start", low], [width, "end", high]])) {
    const text = document.createElementNS(space, "text");
    text.setAttribute("x", String(x));
    text.setAttribute("y", String(height - 4));
    text.setAttribute("text-anchor", anchor);
    text.textContent = String(Number(value.toPrecision(5)));
    svg.append(text);
  }
  return svg;
}

const inSight = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const card = cards.get(/** @type {HTMLElement} */ (entry.target).dataset.key ?? "");
      if (!entry.isIntersecting || !card) continue;
      inSight.unobserve(entry.target);
      void card.grow(card.key);
    }
  },
  { rootMargin: "400px" },
);

async function look() {
  const answer = await fetch(`${api}/objects`);
  if (!answer.ok) return;
  /** @type {{keys: Key[]}} */
  const { keys } = await answer.json();
  /** @type {HTMLElement} */ (section.querySelector("[data-none]")).hidden = keys.length > 0;
  for (const key of keys) {
    const card = cards.get(key.key);
    if (!card) {
      const fresh = new Card(key);
      cards.set(key.key, fresh);
      section.append(fresh.element);
      inSight.observe(fresh.element);
    } else if (card.key.count !== key.count && card.values.length) {
      await card.grow(key);
    }
  }
}

await look();
listen(`${api}/events`, "rows", () => void look());
