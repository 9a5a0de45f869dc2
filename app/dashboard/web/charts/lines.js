// Lines over a shared axis: the first solid, the second dashed, the third dotted.

import { s } from "../core/h.js";
import { below, figure, grid } from "./figure.js";
import { apart, linear, logarithmic, pathThrough, thin, ticks } from "./scale.js";

const MARGIN = { top: 16, bottom: 24 };
const LEAST_LEFT = 48;
const TICK_GAP = 12;
const CHARACTER = 6.7; // pixels, about
const STYLES = ["first", "second", "third"];
const LABEL_GAP = 14;

/**
 * Create a chart of lines. Its data are `{series: [{name, values}], labels, title?, marks?, best?, isLog?}`: one value
 * or null for each point, and the label of each point below the axis or null.
 */
export function lines(
  app,
  signal,
  {
    title,
    note,
    height = 220,
    cursor,
    pointName,
    text,
    tickText = text,
    fromZero = false,
    area = false,
    decorate = () => [],
    actions = null,
  },
) {
  const { t } = app;

  function draw(data, width, isNarrow) {
    const values = data.series
      .flatMap((one) => one.values)
      .filter((value) => value !== null && Number.isFinite(value));
    const max = Math.max(...values, fromZero ? 0.001 : -Infinity);
    const min = fromZero ? 0 : Math.min(...values);
    if (values.length === 0) {
      return { nodes: [], places: [], top: MARGIN.top, bottom: height - MARGIN.bottom };
    }
    const steps = data.isLog
      ? powers(min, max)
      : ticks(max === min ? max + Math.abs(max || 1) * 0.1 : max, { min, count: 3 });
    const left = Math.max(LEAST_LEFT, ...steps.map((step) => tickText(step).length * CHARACTER + TICK_GAP));
    const scale = data.isLog ? logarithmic : linear;
    const labelOf = (one, value) => (isNarrow ? text(value) : `${one.name} ${text(value)}`);
    const longest = Math.max(
      ...data.series.map((one) => labelOf(one, one.values.findLast((value) => value !== null) ?? 0).length),
    );
    const right = width - Math.min(longest * CHARACTER + 16, width / 2);
    const y = scale([steps[0], steps.at(-1)], [height - MARGIN.bottom, MARGIN.top]);
    const count = Math.max(data.labels.length, 2);
    const x = linear([0, count - 1], [left, right]);
    const places = data.labels.map((_, index) => x(index));
    const ends = data.series.map((one) => one.values.findLastIndex((value) => value !== null));
    const labelled = apart(
      data.series.map((one, index) => (ends[index] === -1 ? height : y(one.values[ends[index]]))),
      { gap: LABEL_GAP, low: MARGIN.top, high: height - MARGIN.bottom },
    );
    const drawn = data.series.flatMap((one, index) => {
      if (ends[index] === -1) {
        return [];
      }
      const points = thin(
        one.values.map((value, place) => [x(place), value === null ? null : y(value)]),
        right - left,
      );
      const endX = x(ends[index]);
      const endY = y(one.values[ends[index]]);
      const drawable = points.filter(([, at]) => at !== null);
      return [
        area &&
          index === 0 &&
          s("path", {
            class: "area",
            d: `${pathThrough(drawable)}L${endX} ${y(steps[0])}L${drawable[0][0]} ${y(steps[0])}Z`,
          }),
        s("path", { class: `line ${STYLES[index]}`, d: pathThrough(points) }),
        s("circle", { class: `end ${STYLES[index]}`, cx: endX, cy: endY, r: 3 }),
        s(
          "text",
          { class: `line-label ${STYLES[index]}`, x: endX + 8, y: labelled[index] + 4 },
          labelOf(one, one.values[ends[index]]),
        ),
      ].filter(Boolean);
    });
    const named = data.labels
      .map((label, index) => [places[index], label, index === 0 ? "start" : "middle"])
      .filter(([, label]) => label !== null);
    const nodes = [
      ...grid(steps, y, { left, right, text: tickText }),
      ...decorate(data, { places, top: MARGIN.top, bottom: height - MARGIN.bottom, y }),
      ...drawn,
      ...below(isNarrow ? named.filter((_, index) => index % 2 === 0) : named, height - 6),
    ];
    return { nodes, places, top: MARGIN.top, bottom: height - MARGIN.bottom };
  }

  return figure(app, signal, {
    title,
    note,
    height,
    draw,
    cursor,
    actions,
    tip: (data, index) =>
      [
        `${data.names?.[index] ?? data.labels[index] ?? ""}`,
        ...data.series.map(
          (one) =>
            ` · ${one.name} ${one.values[index] === null || one.values[index] === undefined ? "–" : text(one.values[index])}`,
        ),
      ].join(""),
    say: (data) =>
      `${data.title ?? title}: ${data.series.map((one) => `${one.name} ${text(one.values.findLast((value) => value !== null) ?? 0)}`).join(", ")}`,
    table: (data) => ({
      columns: [pointName, ...data.series.map((one) => one.name)],
      rows: data.labels
        .map((label, index) => [
          data.names?.[index] ?? label ?? String(index + 1),
          ...data.series.map((one) =>
            one.values[index] === null || one.values[index] === undefined
              ? t("time.unknown")
              : text(one.values[index]),
          ),
        ])
        .toReversed(),
    }),
  });
}

function powers(min, max) {
  const low = Math.floor(Math.log10(Math.max(min, 1e-9)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(max, 1e-9))), low + 1);
  return Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
}
