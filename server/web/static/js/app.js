/**
 * What every page has: the theme's button, times that stay true, and Escape for what is open.
 *
 * Charts redraw on the event "themechange" of the document.
 */

const root = document.documentElement;

/** @returns {"dark" | "light"} */
function themeNow() {
  const chosen = root.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function toggleTheme() {
  const theme = themeNow() === "dark" ? "light" : "dark";
  root.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  document.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
}

document.querySelector("[data-theme-toggle]")?.addEventListener("click", toggleTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (root.dataset.theme) return;
  document.dispatchEvent(new CustomEvent("themechange", { detail: themeNow() }));
});

/** Seconds as the server writes them: "42 s", "3 min", "2 h", "5 d". @param {number} seconds */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 2 * 86400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

/** Bring the times below `within` up to date. @param {ParentNode} within */
export function showTimes(within) {
  const now = Date.now() / 1000;
  for (const found of within.querySelectorAll("time[data-at]")) {
    const time = /** @type {HTMLTimeElement} */ (found);
    const at = Number(time.dataset.at);
    if ("since" in time.dataset) time.textContent = span(now - at);
    else time.textContent = now - at < 5 ? "just now" : `${span(now - at)} ago`;
    time.title ||= new Date(at * 1000).toLocaleString();
  }
}

showTimes(document);
setInterval(() => showTimes(document), 10_000);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector("details[data-menu][open]");
  if (!open) return;
  open.removeAttribute("open");
  open.querySelector("summary")?.focus();
});

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details[data-menu][open]")) {
    if (!open.contains(/** @type {Node} */ (event.target))) open.removeAttribute("open");
  }
});
