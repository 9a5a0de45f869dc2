// The result of the job: its metrics, the model that it has made, warnings, and the rest as JSON.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { tableOf } from "../../parts/table.js";
import { icon } from "../../parts/icons.js";
import { json } from "../../parts/json.js";
import { metricTable } from "../../parts/metrics.js";
import { empty } from "../../parts/resource.js";
import { modelLink, named } from "../../parts/states.js";

/** Show the result in a panel. */
export function show(panel, state, _events, _signal, app) {
  const { t } = app;
  let shown = null;

  function update() {
    const { result, status, params, kind } = state.job;
    const key = `${status}${result === null}`;
    if (key === shown) {
      return;
    }
    shown = key;
    if (result === null) {
      const model = kind === "train_model" && typeof params.model === "string" ? params.model : null;
      put(
        panel,
        empty(
          model && status !== "failed"
            ? [...app.words.nodes("job.becomes", { model: named(model) })]
            : t("job.results.none"),
        ),
      );
      return;
    }
    const { predictions: _predictions, history: _history, ...rest } = result;
    put(
      panel,
      typeof result.model === "string" &&
        h("p", { class: "lead" }, ...app.words.nodes("job.became", { version: modelLink(result.model) })),
      (result.warnings ?? []).map((warning) =>
        h(
          "p",
          { class: "warning" },
          icon("alert"),
          h(
            "span",
            { dir: "auto" },
            typeof warning === "string" ? warning : (warning.message ?? JSON.stringify(warning)),
          ),
        ),
      ),
      result.metrics && metricTable(app, result.metrics),
      result.leaderboard?.length > 0 && leaderboard(app, result.leaderboard),
      datasetsOf(result).map(([id, name]) =>
        h("p", null, h("a", { href: to(`datasets/${id}`) }, icon("data"), named(name))),
      ),
      h("details", { open: !result.metrics }, h("summary", null, "JSON"), json(app, rest)),
    );
  }

  update();
  return { update };
}

function leaderboard(app, rows) {
  const { t, format } = app;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [
    h("h3", null, t("group.leaderboard")),
    tableOf(
      t("group.leaderboard"),
      "data",
      columns.map((column) => column.replaceAll("_", " ")),
      rows.map((row) => h("tr", null, ...columns.map((column) => h("td", null, shown(format, row[column]))))),
    ),
  ];
}

function shown(format, value) {
  if (value === null || value === undefined) {
    return "–";
  }
  return typeof value === "number"
    ? format.value(value)
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}

/** The datasets that the job has made: `[id, name]`. */
function datasetsOf(result) {
  const found = result.datasets ?? (result.dataset_id ? [result] : []);
  return found.filter((one) => one?.dataset_id).map((one) => [one.dataset_id, one.name ?? one.dataset_id]);
}
