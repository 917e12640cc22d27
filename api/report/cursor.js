// A cursor with values. All that it shows is drawn: without it nothing is missing.
"use strict";

/** The corners of a path of M, l, h and v. */
function pointsOf(path) {
  const points = [];
  let [x, y] = [0, 0];
  for (const [, way, text] of path.getAttribute("d").matchAll(/([Mlhv])([^Mlhv]*)/g)) {
    const [first, second = 0] = text.match(/-?(?:\d+\.?\d*|\.\d+)/g).map(Number);
    if (way === "M") [x, y] = [first, second];
    else if (way === "v") y += first;
    else [x, y] = [x + first, y + second];
    points.push([x, y]);
  }
  return points;
}

/** The point nearest to x. */
function nearest(points, x) {
  let [low, high] = [0, points.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle + 1;
    else high = middle;
  }
  const before = points[low - 1];
  return before && x - before[0] < points[low][0] - x ? before : points[low];
}

const short = (value, digits) => Number(value.toPrecision(digits));
const text = (value) => String(value).replaceAll("-", "\u2212");

class Cursor {
  constructor(svg) {
    this.svg = svg;
    const [x0, x1, left, right, isWhole, y0, y1, bottom, top, isLog] = JSON.parse(svg.dataset.scale);
    this.range = [left, right];
    this.ends = [bottom, top];
    this.xOf = (at) => {
      const value = x0 + ((at - left) / (right - left)) * (x1 - x0);
      return isWhole ? Math.round(value) : short(value, 4);
    };
    // A drawing has its heights to a tenth.
    const unit = 10 ** Math.ceil(Math.log10((y1 - y0) / (10 * (bottom - top))));
    this.yOf = (at) => {
      const value = y0 + ((at - bottom) / (top - bottom)) * (y1 - y0);
      return isLog ? short(10 ** value, 3) : short(Math.round(value / unit) * unit, 12);
    };
    this.paths = [...svg.querySelectorAll(".lines > path")];
    const figure = svg.closest("figure");
    this.values = [...figure.querySelectorAll(".legend .value")];
    this.last = this.values.map((value) => value.textContent);
    this.told = figure.querySelector("figcaption").appendChild(document.createElement("span"));
    this.line = document.createElementNS(svg.namespaceURI, "path");
    this.line.setAttribute("class", "cursor");
    svg.append(this.line);
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerleave", () => this.leave());
  }

  move(event) {
    this.lines ??= this.paths.map(pointsOf);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    const [left, right] = this.range;
    if (at.x < left - 4 || at.x > right + 4) return this.leave();
    const found = this.lines.map((points) => nearest(points, at.x));
    const near = found.reduce((best, point, place) =>
      Math.hypot(point[0] - at.x, point[1] - at.y) <
      Math.hypot(found[best][0] - at.x, found[best][1] - at.y) ? place : best, 0);
    const [x, y] = found[near];
    const dots = found.map(([x, y], place) =>
      this.values.length || place === near ? `M${x} ${y}h0` : "").join("");
    this.line.setAttribute("d", `M${x} ${this.ends[1]}V${this.ends[0]}${dots}`);
    this.paths.forEach((path, place) => path.classList.toggle("near", place === near));
    const where = `${this.svg.dataset.x} ${text(this.xOf(x))}`;
    if (this.values.length) {
      this.values.forEach((value, place) => (value.textContent = text(this.yOf(found[place][1]))));
      this.told.textContent = where;
    } else {
      const name = this.paths[near].querySelector("title").textContent;
      this.told.textContent = `${name}: ${text(this.yOf(y))} at ${where}`;
    }
  }

  leave() {
    this.line.removeAttribute("d");
    this.told.textContent = "";
    this.paths.forEach((path) => path.classList.remove("near"));
    this.values.forEach((value, place) => (value.textContent = this.last[place]));
  }
}

for (const svg of document.querySelectorAll("svg[data-scale]")) new Cursor(svg);
