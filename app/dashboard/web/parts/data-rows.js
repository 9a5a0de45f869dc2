// Rows of data as a table: objects by their columns, lists by position, texts as they are.

import { h } from "../core/h.js";
import { tableOf } from "./table.js";

const MAX_COLUMNS = 50;

/** Create a table of rows. */
export function rowsTable(_app, rows, caption) {
  const isObject = rows.every((row) => row !== null && typeof row === "object" && !Array.isArray(row));
  const columns = isObject
    ? [...new Set(rows.flatMap((row) => Object.keys(row)))].slice(0, MAX_COLUMNS)
    : null;
  const isList = !isObject && rows.every(Array.isArray);
  const width = isList ? Math.max(...rows.map((row) => row.length)) : 1;
  const heads =
    columns ?? Array.from({ length: width }, (_, index) => (isList ? String(index + 1) : caption));
  const cells = (row) =>
    columns !== null
      ? columns.map((column) => row[column])
      : isList
        ? heads.map((_, index) => row[index])
        : [row];
  return tableOf(
    caption,
    "data",
    heads.map((head) => h("bdi", null, head)),
    rows.map((row) =>
      h(
        "tr",
        null,
        ...cells(row).map((cell) =>
          h(
            "td",
            {
              dir: "auto",
              class:
                cell === null || cell === undefined ? "absent" : typeof cell === "number" ? "number" : "text",
            },
            said(cell),
          ),
        ),
      ),
    ),
  );
}

function said(cell) {
  if (cell === null || cell === undefined) {
    return "–";
  }
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}
