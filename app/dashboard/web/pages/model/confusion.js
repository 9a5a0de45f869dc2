// The confusion matrix: true classes as rows, predicted ones as columns, tinted in five steps.

import { h } from "../../core/h.js";

const STEPS = 5;
const MAX_CLASSES = 30;

/** Create the matrix as a table. Each row is tinted by its share of the rows of its true class. */
export function confusionMatrix({ t, format }, { labels, matrix }) {
  const shown = labels.slice(0, MAX_CLASSES);
  return [
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": t("models.confusion") },
      h(
        "table",
        { class: "data confusion" },
        h("caption", { class: "unseen" }, t("models.confusion")),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h(
              "th",
              { scope: "col" },
              `${t("models.confusion.actual")} ↓ ${t("models.confusion.predicted")} →`,
            ),
            ...shown.map((label) => h("th", { scope: "col", class: "end", dir: "auto" }, label)),
          ),
        ),
        h(
          "tbody",
          null,
          ...shown.map((label, row) => {
            const all = matrix[row].reduce((sum, count) => sum + count, 0);
            return h(
              "tr",
              null,
              h("th", { scope: "row", dir: "auto" }, label),
              ...shown.map((_, column) =>
                h(
                  "td",
                  {
                    class: `end number tint-${tint(matrix[row][column], all)} ${row === column ? "right" : ""}`,
                  },
                  format.number(matrix[row][column]),
                ),
              ),
            );
          }),
        ),
      ),
    ),
    labels.length > MAX_CLASSES &&
      h(
        "p",
        { class: "meta" },
        t("models.confusion.more", {
          n: format.number(MAX_CLASSES),
          total: format.number(labels.length),
        }),
      ),
  ];
}

function tint(count, all) {
  return all === 0 ? 0 : Math.ceil((count / all) * STEPS);
}
