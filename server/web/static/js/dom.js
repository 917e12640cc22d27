/** Making elements: texts are always texts, never markup. */

/**
 * An element with attributes and children. `true` is an attribute without a value, `false` none.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** A text whose control characters are escapes, as the server writes them. @param {string} text */
export function visible(text) {
  return text.replace(UNSEEN, (found) => {
    const code = found.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** A text of a run, of any direction and length. @param {string} text */
export function name(text) {
  const shown = visible(text);
  return make("bdi", { class: "cut", title: shown }, shown);
}

/** A patch of colour beside a name. @param {string} colour CSS */
export function swatch(colour) {
  const element = make("i", { class: "swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}
