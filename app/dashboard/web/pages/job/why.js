// Why the job is in its state, and when it is expected to start.

import { h, put } from "../../core/h.js";
import { waitingSentence } from "../../parts/outlook.js";
import { failureOf } from "../../parts/problems.js";

const SECONDS = 5000;

/** Create the panel: `{element, update()}`. */
export function why(app, state, signal) {
  const { t, session } = app;
  const body = h("div", { class: "why" });
  const element = h("section", { class: "panel" }, h("header", null, h("h2", null, t("job.why"))), body);
  let isLoading = false;
  let isStale = false;
  let seen = null;

  async function load() {
    if (isLoading || signal.aborted) {
      isStale = true;
      return;
    }
    isLoading = true;
    try {
      put(
        body,
        ...sentences(app, state.job, await session.get(`jobs/${state.job.job_id}/explain`, {}, signal)),
      );
    } catch (problem) {
      if (problem.status === undefined && !signal.aborted) {
        throw problem;
      }
    } finally {
      isLoading = false;
      if (isStale) {
        isStale = false;
        load();
      }
    }
  }

  const timer = setInterval(() => isChanging(state.job) && !document.hidden && load(), SECONDS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return {
    element,
    update() {
      const { status, attempt, failures, cancel_requested: isStopping } = state.job;
      const key = [status, attempt, failures, isStopping].join();
      if (key !== seen) {
        seen = key;
        load();
      }
    },
  };
}

/** Whether the reason may change without an event of the job. */
function isChanging(job) {
  return job.status === "pending" || (job.status === "running" && job.shards !== null);
}

function sentences(app, job, found) {
  const { t, format, times, live } = app;
  const n = (value) => (typeof value === "number" ? format.number(value) : value);
  const { facts, code } = found;
  const since = (iso) => times.said(new Date(iso));
  const said = {
    running: () =>
      t("explain.running", {
        n: n(facts.attempt),
        t: format.whole(facts.since === null ? 0 : (live.now() - Date.parse(facts.since)) / 1000),
      }),
    running_shards: () =>
      t("explain.running_shards", {
        n: n(facts.shards.completed),
        total: n(job.shards),
        running: n(facts.shards.running),
        waiting: n(facts.shards.pending),
      }),
    cancel_requested: () => t("explain.cancel_requested"),
    completed: () => t("explain.completed", { t: since(facts.completed_at) }),
    cancelled: () => t("explain.cancelled", { t: since(facts.completed_at) }),
    failed: () => t("explain.failed", { message: facts.error ? failureOf(app, facts.error) : "" }),
  }[code];
  const start = found.estimated_start_at;
  return [
    h("p", { dir: "auto" }, said === undefined ? waitingSentence(app, found, job.kind) : said()),
    ...(code === "running_shards" ? ofShards(app, found, job) : []),
    found.status === "pending" &&
      code !== "running_shards" &&
      h(
        "p",
        { class: "meta" },
        start === null ? t("explain.start.unknown") : t("explain.start", { t: since(start) }),
      ),
    found.status === "running" &&
      code === "running" &&
      h("p", { class: "meta" }, t("job.why.cancel", { t: format.whole(3), n: n(job.done) })),
  ];
}

/** The slowest shards, those that wait after a failure, and what the next one waits for if none runs. */
function ofShards(app, found, job) {
  const { t, format } = app;
  const { slowest, retrying, waiting } = found.facts;
  return [
    waiting !== undefined && h("p", { dir: "auto" }, waitingSentence(app, { ...found, ...waiting }, job.kind)),
    ...slowest.map((one) =>
      h(
        "p",
        { class: "meta" },
        t("explain.shard.slow", {
          shard: format.number(one.shard),
          worker: one.worker ?? "…",
          n: format.number(one.rows),
          t: format.whole(one.seconds),
          rate: format.value(Math.round(one.rows_per_second)),
        }),
      ),
    ),
    ...retrying.map((one) =>
      h(
        "p",
        { class: "meta warn", dir: "auto" },
        t("explain.shard.retry", {
          shard: format.number(one.shard),
          n: format.number(one.failures),
          max: format.number(one.max_attempts),
          message: one.error?.message ?? "",
        }),
      ),
    ),
  ];
}
