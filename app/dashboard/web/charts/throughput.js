// Jobs per minute: completed ones above the axis, failed ones below it.

import { s } from "../core/h.js";
import { below, figure, grid } from "./figure.js";
import { linear, ticks } from "./scale.js";

const HEIGHT = 220;
const MARGIN = { top: 26, right: 16, bottom: 24, left: 40 };
const SHARE_BELOW = 0.22;
const GAP = 2;

/** Create the chart. Its data are `{buckets, marks, minutes}`, as `/stats/overview` gives them. */
export function throughput(app, signal, cursor, onSelect) {
  const { t, format } = app;
  const rate = (count, data) => count / data.minutes;

  function draw(data, width, isNarrow) {
    const { buckets, marks } = data;
    const high = Math.max(...buckets.map((bucket) => rate(bucket.completed, data)), 1 / data.minutes);
    const low = Math.max(...buckets.map((bucket) => rate(bucket.failed, data)), 0);
    const values = ticks(high, { count: 3 });
    const zero = HEIGHT - MARGIN.bottom - (low > 0 ? (HEIGHT - MARGIN.top - MARGIN.bottom) * SHARE_BELOW : 0);
    const y = linear([0, values.at(-1)], [zero, MARGIN.top]);
    const depth = linear([0, low || 1], [0, HEIGHT - MARGIN.bottom - zero]);
    const step = (width - MARGIN.left - MARGIN.right) / buckets.length;
    const x = (index) => MARGIN.left + index * step;
    const size = Math.max(step - GAP, 1);
    const places = buckets.map((_, index) => x(index) + size / 2);
    const bars = buckets.flatMap((bucket, index) => {
      const up = Math.max(zero - y(rate(bucket.completed, data)), bucket.completed > 0 ? 1 : 0);
      const down = bucket.failed > 0 ? Math.max(depth(rate(bucket.failed, data)), 3) : 0;
      const isCurrent = index === buckets.length - 1;
      return [
        up > 0 &&
          s("rect", {
            class: `bar ${isCurrent ? "current" : ""}`,
            x: x(index),
            width: size,
            y: zero - up,
            height: up,
          }),
        down > 0 && s("rect", { class: "bar failed", x: x(index), width: size, y: zero, height: down }),
      ];
    });
    const nodes = [
      hatch(),
      ...grid(values, y, { left: MARGIN.left, right: width - MARGIN.right, text: format.tick }),
      ...bars.filter(Boolean),
      ...markings(app, data, places, MARGIN.top, zero),
      ...below(timeLabels(app, buckets, places, isNarrow), HEIGHT - 6),
    ];
    return { nodes, places, top: MARGIN.top, bottom: HEIGHT - MARGIN.bottom, marks };
  }

  return figure(app, signal, {
    title: t("over.throughput"),
    note: t("over.throughput.note"),
    height: HEIGHT,
    draw,
    cursor,
    onSelect,
    tip: ({ buckets }, index) => {
      const bucket = buckets[index];
      return `${format.minute(new Date(bucket.at))} · ${format.number(bucket.completed)} ${t("over.completed")} · ${t("over.failed", { n: format.number(bucket.failed) })}`;
    },
    say: ({ buckets }) => {
      const completed = buckets.reduce((sum, bucket) => sum + bucket.completed, 0);
      const failed = buckets.reduce((sum, bucket) => sum + bucket.failed, 0);
      return `${t("over.throughput")}: ${format.number(completed)} ${t("over.completed")}, ${t("over.failed", { n: format.number(failed) })}`;
    },
    table: ({ buckets }) => ({
      columns: [t("jobs.f.created"), t("state.completed"), t("state.failed"), t("state.cancelled")],
      rows: buckets
        .toReversed()
        .map((bucket) => [
          format.exact(new Date(bucket.at)),
          ...[bucket.completed, bucket.failed, bucket.cancelled].map(format.number),
        ]),
    }),
  });
}

/** Labels of time for about five of the points. */
export function timeLabels({ t, format }, buckets, places, isNarrow) {
  const every = Math.max(Math.round(buckets.length / (isNarrow ? 2 : 4)), 1);
  const span = Date.parse(buckets.at(-1).at) - Date.parse(buckets[0].at);
  const labels = [];
  for (let index = 0; index < buckets.length - every / 2; index += every) {
    const date = new Date(buckets[index].at);
    labels.push([
      places[index],
      span > 2 * 86_400_000 ? format.day(date) : format.minute(date),
      index === 0 ? "start" : "middle",
    ]);
  }
  labels.push([places.at(-1), t("time.now"), "end"]);
  return labels;
}

/** Dashed lines where workers were lost, with what happened in a strip of their own. */
export function markings({ t, format }, { buckets, marks, width }, places, top, bottom) {
  let free = -Infinity;
  return marks.toReversed().flatMap((mark) => {
    const index = buckets.findLastIndex((bucket) => Date.parse(bucket.at) <= Date.parse(mark.at));
    if (index === -1) {
      return [];
    }
    const x = places[index];
    const text = t("over.mark.lost", { name: mark.worker ?? "?", n: format.number(mark.jobs) });
    const line = s("line", { class: "mark", x1: x, x2: x, y1: top, y2: bottom });
    const isFree = x >= free;
    free = isFree ? x + text.length * 7 : free;
    const isLeft = x + text.length * 6.5 > (width ?? places.at(-1));
    return [
      line,
      isFree &&
        s(
          "text",
          {
            class: "mark-text",
            x: isLeft ? x - 4 : x + 4,
            y: top - 12,
            "text-anchor": isLeft ? "end" : "start",
          },
          text,
        ),
    ].filter(Boolean);
  });
}

function hatch() {
  return s(
    "defs",
    null,
    s(
      "pattern",
      { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 5, height: 5, class: "hatch-ground" }),
      s("line", { x1: 0, x2: 0, y1: 0, y2: 5, class: "hatch-line" }),
    ),
  );
}
