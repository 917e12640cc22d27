/** Terminal text as elements: colours become classes, everything else that is no text goes. */

// Control sequences, operating system commands and other escapes; the first group is of colours.
const ESCAPE = /\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** What a terminal would leave to be seen of a line that goes back to its start. @param {string} text */
function lastPass(text) {
  const parts = text.replace(/\r+$/, "").split("\r");
  return parts[parts.length - 1] ?? "";
}

/** The text without sequences, for searching. @param {string} text */
export function plain(text) {
  return lastPass(text).replace(ESCAPE, "").replace(CONTROL, "");
}

/** @param {string} text @returns {Node[]} */
export function render(text) {
  /** @type {Node[]} */
  const nodes = [];
  const line = lastPass(text);
  /** @type {{colour: number | null, bold: boolean}} */
  let style = { colour: null, bold: false };
  let at = 0;
  for (const found of line.matchAll(ESCAPE)) {
    add(nodes, line.slice(at, found.index), style);
    at = found.index + found[0].length;
    if (found[1] !== undefined) style = styled(style, found[1]);
  }
  add(nodes, line.slice(at), style);
  return nodes;
}

/** @param {Node[]} nodes @param {string} text @param {{colour: number | null, bold: boolean}} style */
function add(nodes, text, style) {
  const shown = text.replace(CONTROL, "");
  if (!shown) return;
  if (style.colour === null && !style.bold) {
    nodes.push(document.createTextNode(shown));
    return;
  }
  const span = document.createElement("span");
  if (style.colour !== null) span.classList.add(`ansi-${style.colour}`);
  if (style.bold) span.classList.add("ansi-bold");
  span.textContent = shown;
  nodes.push(span);
}

/** @param {{colour: number | null, bold: boolean}} style @param {string} codes */
function styled(style, codes) {
  const next = { ...style };
  const numbers = codes.split(";").map(Number);
  for (let i = 0; i < numbers.length; i++) {
    const code = numbers[i] ?? 0;
    if (code === 0) Object.assign(next, { colour: null, bold: false });
    else if (code === 1) next.bold = true;
    else if (code === 22) next.bold = false;
    else if (code === 39) next.colour = null;
    else if (code >= 30 && code <= 37) next.colour = code - 30;
    else if (code >= 90 && code <= 97) next.colour = code - 82;
    else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4;
  }
  return next;
}
