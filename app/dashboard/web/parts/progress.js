// The progress of a job: a bar that moves by itself, and how long it will still take.

import { h, set, setText } from "../core/h.js";

const UNITS = { train_model: "epoch" };

/** Create a bar: `{element, update(job)}`. */
export function bar(app) {
  const element = h(
    "span",
    { class: "meter", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 },
    h("span", { class: "fill" }),
  );
  return {
    element,
    update(job) {
      set(element, {
        vars: { share: job.progress / 100 },
        "aria-valuenow": Math.floor(job.progress),
        "aria-valuetext": doneOf(app, job),
        "aria-label": app.t("jobs.c.progress"),
      });
      element.classList.toggle("stopped", job.status !== "running");
    },
  };
}

/** How much is done: `63,000 / 100,000`, or the epochs of a training. */
export function doneOf({ t, format }, job) {
  const [n, total] = [format.number(job.done), job.total === null ? null : format.number(job.total)];
  if (UNITS[job.kind] === "epoch") {
    return total === null ? n : t("unit.epoch", { n, total });
  }
  return total === null || job.status === "completed" ? n : `${n} / ${total}`;
}

/** How many shards of a job are done, as its step says, or that of an event; null for a job without shards. */
export function shardsOf({ t, format }, { shards, step }) {
  if (shards === null) {
    return null;
  }
  const [done] = step?.match(/\d+/) ?? ["0"];
  return t("job.shards.done", { n: format.number(Number(done)), total: format.number(shards) });
}

/** The seconds that a job will still take at the rate of its present attempt; null while there is no rate. */
export function secondsLeft(job, now) {
  const done = job.done - job.attempt_first_row;
  if (job.status !== "running" || job.total === null || job.attempt_started_at === null || done <= 0) {
    return null;
  }
  const elapsed = (now - Date.parse(job.attempt_started_at)) / 1000;
  return Math.max((elapsed * (job.total - job.done)) / done, 0);
}

/** The rows per second of the present attempt; null while there is no rate. */
export function rateOf(job, now) {
  const elapsed = (now - Date.parse(job.attempt_started_at)) / 1000;
  const done = job.done - job.attempt_first_row;
  return job.status === "running" && elapsed > 0 && done > 0 ? done / elapsed : null;
}

/** Show the seconds that are left, estimated. */
export function showLeft(app, element, job, key = "time.left") {
  const left = secondsLeft(job, app.live.now());
  setText(element, left === null ? "" : app.t(key, { t: app.format.whole(left) }));
}
