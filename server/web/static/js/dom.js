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

/** A text of a run, of any direction and length. @param {string} text */
export function name(text) {
  return make("bdi", { class: "cut", title: text }, text);
}

/** A patch of colour beside a name. @param {string} colour CSS */
export function swatch(colour) {
  const element = make("i", { class: "swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}
