// The attempts that have ended: where they ran, how they ended, and what they used.

import { h, put } from "../../core/h.js";
import { tableOf } from "../../parts/table.js";
import { failureOf } from "../../parts/problems.js";
import { empty } from "../../parts/resource.js";
import { named } from "../../parts/states.js";

/** Show the attempts in a panel: of a job with shards, those at its shards. */
export function show(panel, state, _events, _signal, app) {
  let shown = null;
  function update() {
    const { attempts, job } = state;
    if (shown?.length !== attempts.length || shown[0]?.ended_at !== attempts[0]?.ended_at) {
      shown = attempts;
      const newestFirst = job.shards === null ? attempts.toReversed() : attempts;
      put(panel, shown.length === 0 ? empty(app.t("job.life.wait")) : table(app, newestFirst, job));
    }
  }
  update();
  return { update };
}

function table(app, attempts, job) {
  const { t, format, times } = app;
  const number = (value, show) => (value === null ? "–" : show(value));
  return tableOf(
    t("job.tab.attempts"),
    "list",
    [
      ...(job.shards === null ? [] : [t("job.shards.number")]),
      t("jobs.c.attempt"),
      t("jobs.c.state"),
      t("over.worker"),
      t("job.attempts.took"),
      t("job.attempts.done"),
      "CPU",
      t("over.memory"),
      t("job.attempts.ended"),
    ],
    attempts
      .map((one) =>
        h(
          "tr",
          null,
          one.shard !== undefined && h("td", { class: "number" }, format.number(one.shard)),
          h("th", { scope: "row" }, format.number(one.attempt)),
          h(
            "td",
            null,
            app.words.has(`state.${one.outcome}`) ? t(`state.${one.outcome}`) : t(`event.${one.outcome}`),
          ),
          h("td", null, one.worker === null ? "–" : named(one.worker, { max: 28 })),
          h(
            "td",
            { class: "number" },
            format.duration((Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1000),
          ),
          h("td", { class: "number" }, number(one.rows, format.number)),
          h("td", { class: "number" }, number(one.cpu_seconds, format.duration)),
          h("td", { class: "number" }, number(one.memory_peak_bytes, format.bytes)),
          h(
            "td",
            { class: "text" },
            one.error === null
              ? times.moment(one.ended_at)
              : [
                  h("span", { dir: "auto", title: one.error.message }, failureOf(app, one.error)),
                  one.traceback &&
                    h(
                      "details",
                      null,
                      h("summary", null, t("job.error.trace")),
                      h("pre", { tabindex: 0 }, one.traceback),
                    ),
                ],
          ),
        ),
      ),
  );
}
