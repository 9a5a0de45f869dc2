// The data of a chart as a table.

import { h } from "../core/h.js";
import { tableOf } from "../parts/table.js";

/** Create a table of `{columns, rows}`; the first column names the row. */
export function dataTable({ columns, rows }, caption) {
  return tableOf(
    caption,
    "data",
    columns,
    rows.map(([first, ...rest]) =>
      h("tr", null, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", null, cell))),
    ),
  );
}
