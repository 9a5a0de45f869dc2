// What the job was given: its rows, and its params.

import { h, put } from "../../core/h.js";
import { json } from "../../parts/json.js";
import { empty, resource } from "../../parts/resource.js";
import { rowsTable } from "../../parts/data-rows.js";

const ROWS = 20;

/** Show the input in a panel. */
export function show(panel, state, _events, signal, app) {
  const { t, session, format } = app;
  const rows = h("div");
  put(panel, rows, h("h3", null, t("new.params")), json(app, state.job.params));
  const page = resource(app, rows, {
    signal,
    fetch: (until) =>
      session
        .get(`jobs/${state.job.job_id}/input`, { limit: ROWS }, until)
        .catch((problem) => (problem.code === "no_input_rows" ? null : Promise.reject(problem))),
    render: (found) => {
      if (found === null) {
        return [];
      }
      return found.rows.length === 0
        ? empty(t("job.results.none"))
        : [
            h(
              "p",
              { class: "meta" },
              t("job.results.range", {
                a: format.number(1),
                b: format.number(found.rows.length),
                n: format.number(found.total),
              }),
            ),
            rowsTable(app, found.rows, t("job.tab.input")),
          ];
    },
  });
  page.refresh();
}
