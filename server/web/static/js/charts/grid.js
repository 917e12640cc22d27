/**
 * The charts of a page: sections by the first part of the metrics' names, one shared cursor, one
 * range for each kind of x axis, and data for what is in or near the window only.
 *
 * All that lacks data at one moment is asked for together. A zoom is drawn at once with what is
 * here; the finer data is asked for when the hand rests, and an older request is cancelled.
 */

import { make, name } from "../dom.js";
import { axisName } from "./axes.js";
import { Card, FEW_RUNS } from "./card.js";
import { isFolded, setFolded } from "./state.js";

/** @typedef {import("./feed.js").Axis} Axis */
/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./lines.js").Run} Run */
/** @typedef {import("./state.js").State} State */
/** @typedef {[number, number]} Range */

/** @typedef {{key: string, points: number, step_metric: string | null}} Metric */

/** Milliseconds. */
const REST = 120;
const RETRY = 5000;
const NEAR = "400px";
/** Points that a server reads for the first time within about a second. */
const AT_ONCE = 600_000;
const OTHERS = "metrics";

export class Grid {
  /**
   * @param {HTMLElement} root @param {string} project where folded sections are remembered
   * @param {Feed} feed @param {State} state
   */
  constructor(root, project, feed, state) {
    this.root = root;
    this.project = project;
    this.feed = feed;
    this.state = state;
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Map<string, Metric>} */
    this.metrics = new Map();
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Map<string, AbortController>} */
    this.requests = new Map();
    /** @type {Map<string, import("./chart.js").View>} */
    this.views = new Map();
    this.watcher = new IntersectionObserver((entries) => this.#near(entries), { rootMargin: NEAR });
    state.addEventListener("change", () => this.update());
    document.addEventListener("themechange", () => this.#repaint());
  }

  /** What there is to show; charts that stay keep what they have. @param {Run[]} runs @param {Metric[]} metrics */
  setContent(runs, metrics) {
    const isSame = JSON.stringify(runs) === JSON.stringify(this.runs);
    if (!isSame) this.runs = runs;
    this.metrics = new Map(metrics.map((metric) => [metric.key, metric]));
    this.#layOut();
    this.update();
  }

  // -- sections --------------------------------------------------------------------------------

  #layOut() {
    /** @type {Map<string, string[]>} */
    const sections = new Map();
    for (const key of [...this.metrics.keys()].sort(naturally)) {
      const cut = key.indexOf("/");
      const section = cut > 0 ? key.slice(0, cut) : OTHERS;
      sections.set(section, [...(sections.get(section) ?? []), key]);
    }
    for (const [key, card] of this.cards) {
      if (this.metrics.has(key)) continue;
      card.element.remove();
      this.cards.delete(key);
    }
    const known = new Map(
      [...this.root.querySelectorAll("details.section")].map((found) => [
        /** @type {HTMLElement} */ (found).dataset.section ?? "",
        /** @type {HTMLDetailsElement} */ (found),
      ]),
    );
    const order = (/** @type {string} */ section) => `${Number(section === OTHERS)}${section}`;
    for (const [section, keys] of [...sections].sort(([a], [b]) => naturally(order(a), order(b)))) {
      const element = known.get(section) ?? this.#makeSection(section);
      known.delete(section);
      const grid = /** @type {HTMLElement} */ (element.querySelector(".chart-grid"));
      for (const key of keys) grid.append(this.#cardOf(key).element);
      this.root.append(element);
    }
    for (const gone of known.values()) gone.remove();
    this.root.querySelector(".chart-skeleton")?.remove();
  }

  /** @param {string} section */
  #makeSection(section) {
    const count = make("span", { class: "muted count" });
    const element = make(
      "details",
      { class: "section", open: !isFolded(this.project, section) },
      make("summary", {}, make("h2", { class: "cut" }, name(section)), count),
      make("div", { class: "chart-grid" }),
    );
    element.dataset.section = section;
    element.addEventListener("toggle", () => setFolded(this.project, section, !element.open));
    return element;
  }

  /** @param {string} key */
  #cardOf(key) {
    let card = this.cards.get(key);
    if (!card) {
      card = new Card(key, {
        feed: this.feed,
        range: (found, range) => this.state.setRange(axisName(found.axis), range),
        cursor: (found, x) => this.#cursor(found, x),
        resized: () => this.#ask(),
        full: (found) => this.#full(found),
        logY: (found) => this.state.toggleLogY(found.key),
      });
      this.cards.set(key, card);
      this.watcher.observe(card.element);
    }
    return card;
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #near(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.cards.get(/** @type {HTMLElement} */ (target).dataset.key ?? "");
      if (card) card.isNear = isIntersecting;
    }
    this.update();
  }

  // -- looking ---------------------------------------------------------------------------------

  /** The x axis of a metric. @param {string} key @returns {Axis} */
  axisOf(key) {
    const { x } = this.state;
    if (x === "relative" || x === "time" || x === "step") return { x };
    if (x.startsWith("metric:")) return { x: "metric", key: x.slice(7) };
    const defined = this.metrics.get(key)?.step_metric;
    return defined && defined !== key ? { x: "metric", key: defined } : { x: "step" };
  }

  /** Bring everything to how the page is to be looked at, and ask for what is missing. */
  update() {
    const { state } = this;
    const matches = matcher(state.find);
    const view = {
      ...{ smooth: state.smooth, logX: state.logX, clip: state.clip },
      grouped: state.group !== "" && this.runs.length > 1,
    };
    for (const [key, card] of this.cards) {
      card.element.hidden = !matches(key);
      card.element.classList.toggle("full", state.full === key);
      const axis = this.axisOf(key);
      const range = state.ranges.get(axisName(axis)) ?? null;
      card.show(this.runs, axis, range, this.#remembered({ ...view, logY: state.isLogY(key) }));
    }
    document.documentElement.classList.toggle("has-full", state.full !== "");
    this.#count();
    this.#ask();
  }

  /** Equal views are one object, which is how a chart sees that nothing changed. @param {import("./chart.js").View} view */
  #remembered(view) {
    const name = JSON.stringify(view);
    const known = this.views.get(name) ?? view;
    this.views.set(name, known);
    return known;
  }

  #count() {
    let shown = 0;
    for (const section of this.root.querySelectorAll("details.section")) {
      const cards = [...section.querySelectorAll(".chart-card")];
      const found = cards.filter((card) => !(/** @type {HTMLElement} */ (card).hidden)).length;
      shown += found;
      /** @type {HTMLElement} */ (section).hidden = found === 0;
      const count = section.querySelector(".count");
      if (count) count.textContent = found === cards.length ? `${found}` : `${found} of ${cards.length}`;
    }
    const empty = this.root.parentElement?.querySelector("[data-no-match]");
    if (empty) /** @type {HTMLElement} */ (empty).hidden = shown > 0 || this.cards.size === 0;
  }

  /** @param {Card} card @param {number | null} x */
  #cursor(card, x) {
    const axis = axisName(card.axis);
    for (const other of this.cards.values()) {
      if (!other.chart || axisName(other.axis) !== axis) continue;
      if (other === card || other.isNear) other.setCursor(x, other === card);
    }
  }

  /** @param {Card} card */
  #full(card) {
    const isFull = this.state.full === card.key;
    this.state.set({ full: isFull ? "" : card.key });
    card.element.focus({ preventScroll: true });
  }

  #repaint() {
    for (const card of this.cards.values()) card.chart?.repaint();
  }

  // -- data ------------------------------------------------------------------------------------

  /** Rows came: what is near is fetched anew, the rest when it comes near. */
  refresh() {
    for (const card of this.cards.values()) card.isStale = true;
    this.#ask();
  }

  #ask() {
    /** @type {Card[]} */
    const first = [];
    let finer = false;
    for (const card of this.cards.values()) {
      if (!card.isNear || card.element.hidden || !card.chart) continue;
      if (card.isStale) first.push(card);
      finer ||= card.isBlurred;
    }
    if (first.length && this.runs.length) this.#fetch(first, false);
    clearTimeout(this.timer);
    if (finer) this.timer = setTimeout(() => this.#askFiner(), REST);
  }

  #askFiner() {
    const near = [...this.cards.values()].filter((card) => card.isNear && !card.element.hidden);
    const cards = near.filter((card) => card.isBlurred);
    if (cards.length) this.#fetch(cards, true);
  }

  /**
   * One request for each axis and range; long metrics that were never read come one by one, so that
   * the first is drawn while the others are read.
   * @param {Card[]} cards @param {boolean} finer
   */
  #fetch(cards, finer) {
    /** @type {Map<string, Card[][]>} */
    const groups = new Map();
    for (const card of cards) {
      card.isStale = false;
      const name = axisName(card.axis);
      const parts = groups.get(name) ?? [];
      const last = parts.at(-1);
      const isNew = !card.element.classList.contains("drawn");
      const points = [...(last ?? []), card].reduce((sum, { key }) => sum + this.#points(key), 0);
      if (last && (!isNew || points <= AT_ONCE)) last.push(card);
      else parts.push([card]);
      groups.set(name, parts);
    }
    for (const [axis, parts] of groups) {
      const slot = `${finer ? "finer" : "all"} ${axis}`;
      parts.reduce((before, part) => before.then(() => this.#fetchGroup(slot, part, finer)), Promise.resolve());
    }
  }

  /** @param {Card[]} cards */
  #retry(cards) {
    for (const card of cards) card.isStale = true;
    this.#ask();
  }

  /** @param {string} key */
  #points(key) {
    return this.metrics.get(key)?.points ?? 0;
  }

  /** @param {string} slot @param {Card[]} cards @param {boolean} finer */
  async #fetchGroup(slot, cards, finer) {
    const { runs } = this;
    const axis = /** @type {Axis} */ (cards[0]?.axis);
    const range = finer ? (cards[0]?.chart?.range ?? null) : null;
    const abort = new AbortController();
    if (finer) {
      this.requests.get(slot)?.abort();
      this.requests.set(slot, abort);
    }
    const columns = Math.max(...cards.map((card) => card.columns()));
    const keys = cards.map((card) => card.key);
    const ids = [...new Set(runs.map(({ id, run = id }) => run))];
    const single = runs.length > FEW_RUNS;
    const writers = runs.filter(({ source }) => source).length;
    const wish = { runs: ids, keys, axis, columns, range, single, writers };
    try {
      const series = await this.feed.fetch(wish, abort.signal);
      for (const card of cards) {
        if (card.runs !== runs || axisName(card.axis) !== axisName(axis)) continue;
        card.setData(series.filter((line) => line.key === card.key), range, columns);
      }
      this.root.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
    } catch (error) {
      if (abort.signal.aborted) return;
      for (const card of cards) {
        if (!card.element.classList.contains("drawn")) {
          card.say(`could not be loaded: ${error instanceof Error ? error.message : error}`);
        }
      }
      if (!finer) setTimeout(() => this.#retry(cards), RETRY);
    }
    if (!finer) this.#ask();
  }
}

/** What a search finds: a regular expression, or a text where it is none. @param {string} text */
export function matcher(text) {
  if (!text) return () => true;
  try {
    const pattern = new RegExp(text, "i");
    return (/** @type {string} */ key) => pattern.test(key);
  } catch {
    return (/** @type {string} */ key) => key.toLowerCase().includes(text.toLowerCase());
  }
}

/** @param {string} a @param {string} b */
function naturally(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
