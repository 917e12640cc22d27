/**
 * How the charts of a page are looked at, kept in its address, behind #, so that a link shows the
 * same; and which sections are folded, kept in this browser.
 *
 *     #x=relative&smooth=0.6&logy=loss&logx=1&clip=1&find=val&range=step:100:900&full=train/loss
 *     &writers=0
 */

/** @typedef {[number, number]} Range */

const NAMES = ["x", "smooth", "logx", "logy", "clip", "find", "full", "group", "writers", "range"];

export class State extends EventTarget {
  constructor() {
    super();
    const query = new URLSearchParams(location.hash.slice(1));
    this.x = query.get("x") ?? "auto";
    this.smooth = clamp(Number(query.get("smooth") ?? 0), 0, 0.999);
    this.logX = query.get("logx") === "1";
    this.clip = query.get("clip") === "1";
    this.find = query.get("find") ?? "";
    this.full = query.get("full") ?? "";
    this.group = query.get("group") ?? "";
    /** A line for each writer: "1", "0", or "" for as the run was written. */
    this.writers = query.get("writers") ?? "";
    this.logY = new Set(query.getAll("logy"));
    /** @type {Map<string, Range>} by the axis that it belongs to */
    this.ranges = new Map();
    for (const text of query.getAll("range")) {
      const parts = text.split(":");
      const [low, high] = parts.slice(-2).map(Number);
      if (low !== undefined && high !== undefined && low < high) {
        this.ranges.set(parts.slice(0, -2).join(":"), [low, high]);
      }
    }
    /** What others keep there. */
    this.others = new URLSearchParams(query);
    for (const name of NAMES) this.others.delete(name);
  }

  /**
   * Change something, tell everybody, and put it into the address.
   * @param {Partial<Pick<State, "x" | "smooth" | "logX" | "clip" | "find" | "full" | "group" | "writers">>} facts
   */
  set(facts) {
    Object.assign(this, facts);
    this.changed();
  }

  /** @param {string} axis @param {Range | null} range */
  setRange(axis, range) {
    if (range) this.ranges.set(axis, range);
    else this.ranges.delete(axis);
    this.changed();
  }

  resetRanges() {
    this.ranges.clear();
    this.changed();
  }

  /** Whether a metric's y axis is logarithmic ("*" is all of them). @param {string} key */
  isLogY(key) {
    return this.logY.has("*") !== this.logY.has(key);
  }

  /** @param {string} key */
  toggleLogY(key) {
    if (!this.logY.delete(key)) this.logY.add(key);
    if (key === "*") this.logY = new Set(this.logY.has("*") ? ["*"] : []);
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.timer);
    // Browsers limit how often an address may change, and a slider moves faster.
    this.timer = setTimeout(() => this.#write(), 150);
  }

  #write() {
    const query = new URLSearchParams(this.others);
    if (this.x !== "auto") query.set("x", this.x);
    if (this.smooth) query.set("smooth", String(this.smooth));
    if (this.logX) query.set("logx", "1");
    if (this.clip) query.set("clip", "1");
    for (const key of this.logY) query.append("logy", key);
    if (this.find) query.set("find", this.find);
    if (this.full) query.set("full", this.full);
    if (this.group) query.set("group", this.group);
    if (this.writers) query.set("writers", this.writers);
    for (const [axis, [low, high]] of this.ranges) {
      query.append("range", `${axis}:${low.toPrecision(12)}:${high.toPrecision(12)}`);
    }
    const text = String(query);
    const address = location.pathname + location.search + (text ? `#${text}` : "");
    history.replaceState(history.state, "", address);
  }
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return value >= low ? Math.min(value, high) : low;
}

/** Whether a section is folded. @param {string} project @param {string} name */
export function isFolded(project, name) {
  return folded(project).includes(name);
}

/** @param {string} project @param {string} name @param {boolean} is */
export function setFolded(project, name, is) {
  const names = folded(project).filter((known) => known !== name);
  if (is) names.push(name);
  localStorage.setItem(`folded ${project}`, JSON.stringify(names.slice(-500)));
}

/** @param {string} project @returns {string[]} */
function folded(project) {
  try {
    const names = JSON.parse(localStorage.getItem(`folded ${project}`) ?? "[]");
    return Array.isArray(names) ? names : [];
  } catch {
    return [];
  }
}
