// How far the job is: percent, ledger, rate, and its timeline.

import { ledgerBar } from "../../charts/ledger.js";
import { shardBar } from "../../charts/shards.js";
import { timeline } from "../../charts/timeline.js";
import { h, put, setText } from "../../core/h.js";
import { failureOf } from "../../parts/problems.js";
import { rateOf, secondsLeft } from "../../parts/progress.js";

const MAX_RANGES = 5;

/** Create the panel: `{element, update(), move()}`. */
export function progress(app, state, signal) {
  const { t, format, live, words } = app;
  const isTraining = state.job.kind === "train_model";
  const percent = h("span", { class: "percent" });
  const left = h("span", { class: "left" });
  const facts = h("p", { class: "progress-facts" });
  const fault = h("div");
  const isSharded = state.job.shards !== null;
  const ledger = ledgerBar(app, signal, { unit: isTraining ? "epoch" : "batch" });
  const shards = shardBar(app, signal);
  const life = timeline(app);
  const element = h(
    "section",
    { class: "panel job-progress", "aria-label": t("jobs.c.progress") },
    fault,
    h(
      "div",
      { class: "progress-row" },
      percent,
      h("div", { class: "progress-main" }, isSharded ? shards.element : ledger.element, facts),
      left,
    ),
    h("div", { class: "life" }, h("h2", null, t("job.life")), life.element),
  );

  function move() {
    const { job, ledger: stored } = state;
    if (state.shards !== null) {
      shards.update(state.shards);
    }
    if (stored !== null) {
      ledger.update(stored, { attempt: job.attempt, isRunning: job.status === "running" });
    }
    ledger.element.hidden = stored === null || stored.stored + (stored.batches ?? 0) === 0;
  }

  function update() {
    const { job, attempts } = state;
    const now = live.now();
    move();
    put(
      percent,
      job.total === null
        ? format.number(job.done)
        : [h("strong", null, format.number(Math.floor(job.progress))), h("span", { class: "unit" }, "%")],
    );
    const seconds = secondsLeft(job, now);
    setText(left, seconds === null ? "" : t("time.about", { t: format.whole(seconds) }));
    const rate = rateOf(job, now);
    const n = format.number(job.done);
    put(
      facts,
      ...[
        isTraining
          ? job.total !== null && t("unit.epoch", { n, total: format.number(job.total) })
          : job.total === null
            ? words.count("unit.rows", job.done, n)
            : `${n} / ${words.count("unit.rows", job.total, format.number(job.total))}`,
        rate !== null && !isTraining && t("unit.rate", { n: format.value(Math.round(rate)) }),
        job.errors > 0 && `${t("job.results.errors")}: ${format.number(job.errors)}`,
        job.status === "running" &&
          job.attempt_started_at !== null &&
          t("job.runningfor", { t: format.whole((now - Date.parse(job.attempt_started_at)) / 1000) }),
        job.status === "completed" &&
          job.started_at !== null &&
          t("time.took", {
            t: format.duration((Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000),
          }),
      ]
        .filter(Boolean)
        .map((text) => h("span", null, text)),
    );
    showFault(job);
    life.update(job, isSharded ? [] : attempts); // those of its shards overlap
  }

  function showFault(job) {
    const isShown = job.error !== null && (job.status === "failed" || job.status === "pending");
    const key = isShown ? `${job.status}${job.error.code}${job.error.attempt}` : "";
    if (fault.dataset.key === key) {
      return;
    }
    fault.dataset.key = key;
    if (!isShown) {
      put(fault);
      return;
    }
    const { error } = job;
    const own = failureOf(app, error);
    put(
      fault,
      h(
        "div",
        { class: "job-fault" },
        h("p", { class: "said", dir: "auto" }, own),
        own !== error.message && h("p", { class: "meta", dir: "auto" }, error.message),
        h(
          "p",
          { class: "meta" },
          `${t("job.error.code")}: ${error.code} · ${t("job.attempt.bare", { n: format.number(error.attempt) })} · ${t(error.retryable ? "job.error.retryable" : "job.error.final")}`,
          app.copyButton(`${error.code}: ${error.message}`),
        ),
        error.missing?.length > 0 && h("p", null, missing(app, error.missing)),
        job.done > 0 &&
          !isTraining &&
          !isSharded &&
          job.total !== null &&
          h(
            "p",
            null,
            `${t("job.results.kept", { n: format.number(job.done), total: format.number(job.total) })} ${t("job.error.goeson", { n: format.number(job.done + 1) })}`,
          ),
      ),
    );
  }

  // Time passes without events, too.
  live.inbox.onTick(() => state.job.completed_at === null && !app.paused.peek() && update(), signal);
  return { element, update, move };
}

/** The rows that a job with shards has no results for, as people count them. */
function missing({ t, format }, ranges) {
  const shown = ranges.slice(0, MAX_RANGES).map(([a, b]) => `${format.number(a + 1)}–${format.number(b + 1)}`);
  const rest = ranges.length > MAX_RANGES ? ", …" : "";
  return t("job.error.missing", { rows: shown.join(", ") + rest });
}
