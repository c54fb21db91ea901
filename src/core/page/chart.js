// Plots as inline SVG: lines over time, and a bar that shows a share beside its target. Colours, dashes and
// widths are the stylesheet's, so that they follow light and dark.

import { number, put, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [320, 104, 4, 16, 14];

/** A plot of several lines; `update([{name, points: [[time, value]]}])` draws them. */
export function plot(title, unit) {
  const label = svg("title", {}, title);
  const top = svg("text", { x: LEFT, y: 11, class: "scale" });
  const lines = svg("g");
  const root = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "plot" },
    label,
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
    top,
    svg("text", { x: LEFT, y: HEIGHT - 3, class: "scale" }, "before"),
    svg("text", { x: WIDTH - LEFT, y: HEIGHT - 3, class: "scale", "text-anchor": "end" }, "now"),
    lines,
  );
  const update = (series) => {
    const points = series.flatMap((one) => one.points);
    const times = points.map(([time]) => time);
    const highest = points.reduce((most, [, value]) => Math.max(most, value ?? 0), 0);
    const scale = { from: Math.min(...times), to: Math.max(...times), top: rounded(highest) };
    put(top, points.length ? `${title}, up to ${number(scale.top)} ${unit}` : `${title}: nothing yet`);
    lines.replaceChildren(...series.flatMap((one, index) => drawn(one.points, index, scale)));
    const last = series.map(({ name, points: own }) => `${name} ${number(own.at(-1)?.[1])} ${unit}`);
    put(label, `${title}: ${last.join(", ")}`);
  };
  update([]);
  return { root, update };
}

/** A line, broken where nothing is known. */
function drawn(points, index, { from, to, top }) {
  const x = (time) => (to > from ? LEFT + ((time - from) / (to - from)) * (WIDTH - 2 * LEFT) : WIDTH - LEFT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const pieces = [[]];
  for (const [time, value] of points) {
    if (value === null) pieces.push([]);
    else pieces.at(-1).push(`${x(time).toFixed(1)},${y(value).toFixed(1)}`);
  }
  const filled = pieces.filter((piece) => piece.length);
  return filled.map((piece) =>
    piece.length === 1
      ? svg("circle", { class: `series s${index % 6}`, cx: piece[0].split(",")[0], cy: piece[0].split(",")[1], r: 1.5 })
      : svg("polyline", { class: `series s${index % 6}`, points: piece.join(" ") }),
  );
}

/** The next number of the kind 1, 2, 5, 10 that is not smaller. */
function rounded(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

/** A share as a bar, its interval as a line across the end, its target as a mark. */
export function bar(index) {
  const filled = svg("rect", { class: `fill s${index % 6}`, x: 0, y: 4, height: 8, width: 0 });
  const reach = svg("line", { class: "reach", y1: 8, y2: 8, x1: 0, x2: 0 });
  const mark = svg("line", { class: "mark", y1: 0, y2: 16, x1: 0, x2: 0 });
  const track = svg("rect", { class: "track", x: 0, y: 4, height: 8, width: 200 });
  const root = svg("svg", { viewBox: "0 0 200 16", class: "bar", "aria-hidden": "true" }, track, filled, reach, mark);
  const set = (element, values) => {
    for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  };
  const update = ({ share, interval, target }) => {
    set(filled, { width: 200 * (share ?? 0) });
    set(reach, { x1: 200 * (interval?.[0] ?? 0), x2: 200 * (interval?.[1] ?? 0) });
    set(mark, { x1: 200 * target, x2: 200 * target });
  };
  return { root, update };
}
