// The same rows of a dataset, predicted by two versions.

import { h } from "../../core/h.js";
import { setOptions } from "../../parts/forms.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";
import { takesText } from "./try-it.js";

const ROWS = 10;
const DATASETS = 100;

/** Create the panel: the first rows of a dataset, at first that of the newer training. */
export function predictionsOf(app, signal, a, b) {
  const { t, session, format } = app;
  let dataset = b.lineage?.dataset_id ?? a.lineage?.dataset_id ?? "";
  const choice = h("select", { "aria-label": t("new.dataset") });
  const body = h("div");
  choice.addEventListener("change", () => {
    dataset = choice.value;
    rows.refresh();
  });

  const rows = resource(app, body, {
    signal,
    skeleton: ROWS,
    fetch: async (until) => {
      await offer(until);
      if (dataset === "") {
        return null;
      }
      const preview = await session.get(`datasets/${dataset}/preview`, { rows: ROWS }, until);
      const answers = await Promise.all([a, b].map((one) => predict(one, preview.rows, until)));
      return { given: preview.rows, answers };
    },
    render: (found) =>
      found === null
        ? h("p", { class: "quiet-line" }, t("models.compare.choose"))
        : table(app, a, b, found.given, found.answers),
  });

  async function offer(until) {
    const { items } = await session.get("datasets", { limit: DATASETS }, until);
    const isKnown = items.some((one) => one.dataset_id === dataset);
    if (!isKnown) {
      dataset = ""; // it was deleted
    }
    setOptions(choice, [
      ...(dataset === "" ? [["", t("new.dataset")]] : []),
      ...items.map((one) => [one.dataset_id, one.name]),
    ]);
    choice.value = dataset;
  }

  async function predict(one, given, until) {
    const data = takesText(one)
      ? { texts: given.map((row) => textOf(one, row)) }
      : { instances: given.map((row) => instanceOf(one, row)) };
    const found = await session.json("POST", "predict", {
      body: { ...data, model: one.model },
      signal: until,
      timeout: 60_000,
    });
    const errors = new Map(found.row_errors.map((error) => [error.index, error.message]));
    return found.predictions.map((prediction, index) => ({ prediction, error: errors.get(index) ?? null }));
  }

  rows.refresh();
  return h(
    "section",
    { class: "panel" },
    h(
      "header",
      null,
      h("h2", null, t("models.compare.rows")),
      h("span", { class: "meta" }, t("data.preview", { n: format.number(ROWS) })),
      h("span", { class: "spring" }),
      choice,
    ),
    body,
  );
}

function textOf({ columns }, row) {
  const name = columns?.[0]?.name;
  const text = row[name] ?? row.text ?? Object.values(row).find((cell) => typeof cell === "string");
  return String(text ?? "");
}

function instanceOf({ columns }, row) {
  return Object.fromEntries(columns.map(({ name }) => [name, row[name] ?? null]));
}

function table(app, a, b, given, [one, other]) {
  const { t, format } = app;
  const differing = one.filter((found, index) => labelOf(app, found) !== labelOf(app, other[index])).length;
  return [
    h(
      "p",
      { class: "meta" },
      t("models.compare.differ", { n: format.number(differing), total: format.number(given.length) }),
    ),
    tableOf(
      t("models.compare.rows"),
      "data",
      [t("job.results.row"), t("job.tab.input"), named(a.model), named(b.model)],
      given.map((row, index) => {
        const isOther = labelOf(app, one[index]) !== labelOf(app, other[index]);
        return h(
          "tr",
          { class: isOther ? "selected" : null },
          h("th", { scope: "row" }, format.number(index + 1)),
          h("td", { class: "text", dir: "auto", title: said(row) }, said(row)),
          ...[one[index], other[index]].map((found) => cell(app, found)),
        );
      }),
    ),
  ];
}

function cell(app, found) {
  if (found.error !== null) {
    return h("td", { class: "bad" }, found.error);
  }
  const score = found.prediction?.score;
  return h(
    "td",
    { dir: "auto" },
    labelOf(app, found),
    typeof score === "number" && [" ", h("span", { class: "meta number" }, app.format.value(score))],
  );
}

function labelOf({ format }, { prediction, error }) {
  if (error !== null) {
    return error;
  }
  const found = prediction?.label ?? prediction?.value ?? prediction;
  return typeof found === "number" ? format.value(found) : said(found);
}

function said(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}
