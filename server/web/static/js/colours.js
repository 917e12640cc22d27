/**
 * The colour of a run: a pure function of its id, the same on every page and in both themes; but
 * of runs that are compared, those that would look alike are told apart.
 *
 * Ten hues that colour-blind people tell apart (--series-0 ... --series-9), each as it is, nearer
 * to the text and nearer to the ground.
 */

const HUES = 10;
const MIXES = ["", "var(--text) 38%", "var(--surface) 42%"];

/** A hash of a text (FNV-1a, mixed once more). @param {string} text */
function hash(text) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}

/** The number of a run's own colour. @param {string} id the run's id */
function numberOf(id) {
  const value = hash(id);
  return (value % HUES) + HUES * (Math.floor(value / HUES) % MIXES.length);
}

/** The numbers of the colours of runs that are compared. @type {Map<string, number>} */
const apart = new Map();

/**
 * Give each of some runs a colour of its own, as long as there are enough: the next free one where
 * a run before it, in the order of their ids, has the same. @param {string[]} ids
 */
export function tellApart(ids) {
  const count = HUES * MIXES.length;
  const taken = new Set();
  for (const id of [...ids].sort()) {
    let number = numberOf(id);
    while (taken.size < count && taken.has(number)) number = (number + 1) % count;
    taken.add(number);
    apart.set(id, number);
  }
}

/** The colour of a run, as CSS. @param {string} id the run's id */
export function colourOf(id) {
  return colourAt(apart.get(id) ?? numberOf(id));
}

/** The colour with a number, as CSS. @param {number} index */
export function colourAt(index) {
  const hue = `var(--series-${index % HUES})`;
  const mix = MIXES[Math.floor(index / HUES) % MIXES.length];
  return mix ? `color-mix(in oklab, ${hue}, ${mix})` : hue;
}

/** @type {Map<string, string>} */
const resolved = new Map();
document.addEventListener("themechange", () => resolved.clear(), { capture: true });

/** What colours are tried on, made at the first one. */
const probe = {
  element: document.createElement("i"),
  context: document.createElement("canvas").getContext("2d", { willReadFrequently: true }),
};

/** A CSS colour as one that a canvas and a file take, in the theme of now. @param {string} css */
export function plainColour(css) {
  let found = resolved.get(css);
  if (found === undefined) {
    probe.element.style.color = css;
    if (!probe.element.isConnected) {
      probe.element.hidden = true;
      document.body.append(probe.element);
    }
    found = toHex(getComputedStyle(probe.element).color);
    resolved.set(css, found);
  }
  return found;
}

/** @param {string} colour */
function toHex(colour) {
  const { context } = probe;
  if (!context) return colour;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return `#${[r, g, b].map((part) => (part ?? 0).toString(16).padStart(2, "0")).join("")}`;
}
