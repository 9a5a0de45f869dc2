// The shards of a job: the rows of each, where it runs, how far it is, and why it has failed.

import { h, put, setText } from "../../core/h.js";
import { to } from "../../core/places.js";
import { saidOf } from "../../charts/shards.js";
import { failureOf } from "../../parts/problems.js";
import { bar } from "../../parts/progress.js";
import { empty } from "../../parts/resource.js";
import { named, stateOf } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";

const STATUSES = ["running", "pending", "completed", "failed", "cancelled"];
const PAGE = 100;

/** Show the shards in a panel. They are loaded with the job. */
export function show(panel, state, _events, _signal, app) {
  const { t, format } = app;
  const status = h(
    "select",
    { "aria-label": t("jobs.c.state"), onchange: begin },
    h("option", { value: "" }, t("job.shards.all")),
    ...STATUSES.map((name) => h("option", { value: name }, t(`state.${name}`))),
  );
  const said = h("span", { class: "meta", role: "status" });
  const body = h("div");
  const more = h(
    "button",
    {
      type: "button",
      class: "plain-button",
      onclick: () => {
        shown += PAGE;
        latest = null;
        update();
      },
    },
    t("table.more"),
  );
  let shown = PAGE;
  let latest = null;
  put(panel, h("div", { class: "log-bar" }, status, said), body, h("footer", { class: "list-foot" }, more));

  function begin() {
    shown = PAGE;
    latest = null;
    update();
  }

  function update() {
    const { shards } = state;
    if (shards === null || shards === latest) {
      return;
    }
    latest = shards;
    for (const option of status.options) {
      const count = option.value === "" ? shards.counts.all : shards.counts[option.value];
      const name = t(option.value === "" ? "job.shards.all" : `state.${option.value}`);
      setText(option, `${name} (${format.number(count)})`);
    }
    setText(said, saidOf(app, shards.counts));
    const wanted = shards.items.filter((one) => status.value === "" || one.status === status.value);
    const scrolled = body.querySelector(".scroll")?.scrollLeft ?? 0;
    put(body, wanted.length === 0 ? empty(t("empty.filter")) : table(app, wanted.slice(0, shown)));
    const region = body.querySelector(".scroll");
    if (region !== null) {
      region.scrollLeft = scrolled;
    }
    more.hidden = wanted.length <= shown;
  }

  update();
  return { update };
}

function table(app, shards) {
  const { t } = app;
  return tableOf(
    t("job.tab.shards"),
    "list",
    [
      t("job.shards.number"),
      t("job.shards.rows"),
      t("jobs.c.state"),
      t("jobs.c.progress"),
      t("over.worker"),
      t("jobs.c.attempt"),
      t("job.tab.error"),
    ],
    shards.map((shard) => row(app, shard)),
  );
}

function row(app, shard) {
  const { format } = app;
  const n = format.number;
  const meter = bar(app);
  meter.update({
    kind: "batch_predict",
    status: shard.status,
    progress: (100 * shard.done) / shard.rows,
    done: shard.done,
    total: shard.rows,
  });
  return h(
    "tr",
    { "data-shard": shard.shard },
    h("th", { scope: "row", class: "number" }, h("a", { href: to(`jobs/${shard.job_id}`) }, n(shard.shard))),
    h(
      "td",
      { class: "number" },
      `${n(shard.first_row + 1)}–${n(shard.first_row + shard.rows)}`,
    ),
    h("td", null, stateOf(app, { ...shard, run_at: null, cancel_requested: false })),
    h(
      "td",
      { class: "progress" },
      h(
        "span",
        { class: "progress-box" },
        meter.element,
        h("span", { class: "number" }, format.percent(shard.done / shard.rows)),
      ),
    ),
    h("td", null, shard.worker === null ? "–" : named(shard.worker, { max: 28 })),
    h("td", { class: "number" }, n(shard.attempt)),
    h("td", { class: "text", dir: "auto" }, shard.error === null ? "" : failureOf(app, shard.error)),
  );
}
