// How long jobs wait from when they are due until they start: the median and the 95th percentile.

import { lines } from "./lines.js";
import { markings, timeLabels } from "./throughput.js";

/** Create the chart: `{element, update(overview)}`. */
export function queueTimes(app, signal, cursor) {
  const { t, format } = app;
  const chart = lines(app, signal, {
    title: t("over.wait"),
    note: t("over.wait.note"),
    cursor,
    fromZero: true,
    area: true,
    pointName: t("jobs.f.created"),
    text: format.duration,
    decorate: (data, { places, top, bottom }) =>
      markings(app, { ...data, width: places.at(-1) }, places, top + 8, bottom).filter(
        (node) => node.nodeName === "line",
      ),
  });
  return { element: chart.element, update: ({ buckets, marks }) => chart.update(data(app, buckets, marks)) };
}

function data({ t, format }, buckets, marks) {
  const labels = buckets.map(() => null);
  for (const [place, label] of timeLabels({ t, format }, buckets, [...buckets.keys()], false)) {
    labels[place] = label;
  }
  return {
    buckets,
    marks,
    labels,
    names: buckets.map((bucket) => format.minute(new Date(bucket.at))),
    series: [
      { name: "p50", values: buckets.map((bucket) => bucket.queue_p50) },
      { name: "p95", values: buckets.map((bucket) => bucket.queue_p95) },
    ],
  };
}
