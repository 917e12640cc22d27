/** What hands can do with a chart, in words. */

import { make } from "../dom.js";

const HELP = /** @type {const} */ ([
  ["Drag", "zoom into a part, in all charts with this x axis"],
  ["Double click, Escape", "everything again"],
  ["Shift-drag, sideways wheel", "move along"],
  ["Ctrl-wheel, + and −", "zoom in and out"],
  ["← →", "cursor to the next point; with Shift by ten; Home and End"],
  ["↑ ↓", "the next run"],
  ["f", "full screen"],
  ["l", "logarithmic y axis"],
]);

/** Show the list until Escape, or a click beside it. */
export function showHelp() {
  const rows = HELP.flatMap(([keys, text]) => [make("dt", {}, keys), make("dd", {}, text)]);
  const close = make("button", { type: "button" }, "Close");
  const dialog = make(
    "dialog",
    { class: "card chart-help", "aria-label": "Keys and gestures of charts" },
    ...[make("h2", {}, "Keys and gestures of charts"), make("dl", {}, ...rows), close],
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
