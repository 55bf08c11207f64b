// Forecasts of several steps: the median as a line, the outer quantiles as a band around it.

import { shown, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [480, 200];
const [LEFT, RIGHT, TOP, BOTTOM] = [48, 12, 10, 32];

/** `step`: name of the column that counts the steps; without one they are counted from 1. */
export function fanChart(entries, step) {
  const steps = entries.map((one, place) => (step ? one[step] : place + 1));
  const levels = entries.map((one) => Object.values(one.quantiles));
  const [lows, highs] = [levels.map((all) => Math.min(...all)), levels.map((all) => Math.max(...all))];
  const ticks = ticksOf(Math.min(...lows), Math.max(...highs));
  const x = scale(steps[0], steps.at(-1), LEFT, WIDTH - RIGHT);
  const y = scale(ticks[0], ticks.at(-1), HEIGHT - BOTTOM, TOP);
  const points = (values) => values.map((value, place) => `${x(steps[place]).toFixed(1)},${y(value).toFixed(1)}`);
  const medians = entries.map((one) => one.forecast);
  const few = entries.length <= 40;
  return svg(
    "svg",
    { class: "fan", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Forecast of ${entries.length} steps, from ${shown(medians[0])} to ${shown(medians.at(-1))}` },
    ...ticks.map((value) => svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) })),
    ...ticks.map((value) => svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, shown(value))),
    svg("polygon", { class: "area", points: [...points(highs), ...points(lows).reverse()].join(" ") }),
    svg("polyline", { class: "line", points: points(medians).join(" ") }),
    ...(few ? medians.map((value, place) => svg("circle", { cx: x(steps[place]), cy: y(value), r: 3 }, svg("title", {}, `${step ?? "step"} ${steps[place]}: ${shown(value)}`))) : []),
    svg("text", { x: LEFT, y: HEIGHT - 8 }, `${step ?? "step"} ${shown(steps[0])}`),
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, shown(steps.at(-1))),
  );
}

function scale(from, to, start, end) {
  const size = to - from || 1;
  return (value) => start + ((value - from) / size) * (end - start);
}

/** Round numbers that hold both ends. */
function ticksOf(low, high) {
  const rough = (high - low || Math.abs(high) || 1) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((round) => round >= rough);
  const from = Math.floor(low / step);
  const count = Math.max(1, Math.ceil(high / step) - from);
  return Array.from({ length: count + 1 }, (_, place) => (from + place) * step);
}
