// Metrics as a table of names and values.

import { h } from "../core/h.js";

/** Create a table of the metrics that are numbers. */
export function metricTable({ t, format }, metrics) {
  const rows = Object.entries(metrics).filter(([, value]) => typeof value === "number");
  return h(
    "table",
    { class: "facts-table" },
    h("caption", { class: "unseen" }, t("models.metrics")),
    h(
      "tbody",
      null,
      ...rows.map(([name, value]) =>
        h(
          "tr",
          null,
          h("th", { scope: "row" }, name.replaceAll("_", " ")),
          h("td", { class: "number" }, format.value(value)),
        ),
      ),
    ),
  );
}
