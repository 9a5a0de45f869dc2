// The workers, with one cell for each slot, filled to its job's progress.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { named } from "../parts/states.js";

const GROUPED_ABOVE = 12;

/** Create the body of the panel for these workers. */
export function workersTable(app, workers) {
  const { t } = app;
  const groups =
    workers.length > GROUPED_ABOVE
      ? Map.groupBy(workers, (worker) => worker.queues.join(", "))
      : new Map([[null, workers]]);
  return h(
    "table",
    { class: "list workers" },
    h("caption", { class: "unseen" }, t("over.workers")),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        h("th", { scope: "col" }, t("over.worker")),
        h("th", { scope: "col" }, t("over.queues")),
        h("th", { scope: "col" }, t("over.slot")),
        h("th", { scope: "col", class: "end" }, t("over.seen")),
      ),
    ),
    ...[...groups].map(([name, members]) =>
      h(
        "tbody",
        null,
        name !== null && h("tr", { class: "group" }, h("th", { colspan: 4, scope: "rowgroup" }, name)),
        members.map((worker) => row(app, worker)),
      ),
    ),
  );
}

function row(app, worker) {
  const { t, times } = app;
  const cells = h("span", { class: `cells ${worker.state}` });
  const free = Math.max(worker.slots - worker.jobs.length, 0);
  // Beside its slots it has some that take nothing but the predictions of POST /predict.
  const lane = Math.min(worker.predict_slots, worker.slots + worker.predict_slots - worker.jobs.length);
  put(
    cells,
    ...worker.jobs.map((job) => busy(app, job)),
    ...Array.from({ length: free }, () => h("span", { class: "slot free", title: t("over.free") })),
    ...Array.from({ length: Math.max(lane, 0) }, () =>
      h("span", { class: "slot free lane", title: t("over.lane") }),
    ),
  );
  const gpus = worker.gpus > 0 && h("span", { class: "meta" }, t("over.gpus", { n: worker.gpus }));
  const tag =
    worker.state === "live"
      ? null
      : h("span", { class: `tag ${worker.state === "lost" ? "bad" : "warn"}` }, t(`over.${worker.state}`));
  return h(
    "tr",
    { class: worker.state },
    h("th", { scope: "row" }, named(worker.name, { max: 24 }), " ", tag),
    h("td", null, worker.queues.filter((queue) => !queue.startsWith("/")).join(", ")),
    h("td", null, cells, gpus && " ", gpus),
    h("td", { class: "end meta" }, times.moment(worker.seen_at)),
  );
}

function busy({ t, format }, job) {
  const share = format.percent(job.progress / 100);
  const text = job.shard === null ? share : `${t("job.shard", { n: format.number(job.shard) })}: ${share}`;
  const cell = h(job.job_id === null ? "span" : "a", {
    class: "slot",
    title: text,
    "aria-label": job.job_id === null ? null : `${t("act.open")}: ${text}`,
    href: job.job_id === null ? null : to(`jobs/${job.job_id}`),
    vars: { share: job.progress / 100 },
  });
  return cell;
}
