// Cancel and retry: each asks first, says what it did, and leaves the rest to the events.

import { h } from "../core/h.js";

/** Whether a job can be cancelled. */
export function isCancellable(job) {
  return (job.status === "pending" || job.status === "running") && !job.cancel_requested;
}

/** Whether a job can be retried. */
export function isRetryable(job) {
  return job.status === "failed" || job.status === "cancelled";
}

/** Cancel a job, if the reader agrees. Returns the job as the server has it now, or null. */
export async function cancelJob(app, job) {
  const { t, session, notices } = app;
  const isAgreed = await notices.ask({
    title: t("job.cancel.ask"),
    text:
      job.status === "running"
        ? t("job.why.cancel", { t: app.format.whole(3), n: app.format.number(job.done) })
        : [],
    action: t("act.cancel"),
  });
  if (!isAgreed) {
    return null;
  }
  try {
    const response = await session.send("POST", `jobs/${job.job_id}/cancel`);
    const { job: now } = await response.json();
    notices.toast(t(response.status === 200 ? "done.cancelled" : "done.cancel.asked"));
    return now;
  } catch (problem) {
    app.fail(problem);
    return null;
  }
}

/** Retry a job, from its last stored batch or from the start. Returns the job as it is now, or null. */
export async function retryJob(app, job, { fromStart = false } = {}) {
  const { t, session, notices } = app;
  const title = t(fromStart ? "act.retry.start" : "act.retry");
  const isAgreed = await notices.ask({
    title: t("jobs.bulk.retry", { n: 1 }),
    text: fromStart ? [] : t("jobs.bulk.retry.text"),
    action: title,
    isDangerous: fromStart,
  });
  if (!isAgreed) {
    return null;
  }
  try {
    const now = await session.post(`jobs/${job.job_id}/retry`, { from_start: fromStart });
    notices.toast(t("done.retried"));
    return now;
  } catch (problem) {
    app.fail(problem);
    return null;
  }
}

/** The items of a menu for one job: only what applies. */
export function jobItems(app, job, onChanged = () => {}) {
  const { t } = app;
  const run = (action) => async () => onChanged(await action());
  return [
    { text: t("act.open"), run: () => app.go(`jobs/${job.job_id}`) },
    { text: t("act.copy.id"), run: () => copy(app, job.job_id) },
    job.status === "pending" && !job.cancel_requested && placeOf(app, job),
    app.can("submit") && isRetryable(job) && { text: t("act.retry"), run: run(() => retryJob(app, job)) },
    app.can("submit") &&
      isRetryable(job) && {
        text: t("act.retry.start"),
        run: run(() => retryJob(app, job, { fromStart: true })),
      },
    app.can("submit") &&
      isCancellable(job) && { text: t("act.cancel"), isDangerous: true, run: run(() => cancelJob(app, job)) },
  ].filter(Boolean);
}

/** Where a job is in its queue, asked for when its menu opens: a list would ask for each of its rows. */
function placeOf(app, { job_id: id }) {
  const { t, session, format, live } = app;
  const element = h("p", { class: "meta", role: "status" }, t("wait.loading"));
  const fill = async () => {
    const found = await session.get(`jobs/${id}/explain`, {});
    const seconds = (Date.parse(found.estimated_start_at) - live.now()) / 1000;
    element.textContent = [
      found.position !== null && t("jobs.place", { n: format.number(found.position) }),
      found.estimated_start_at !== null && t("jobs.starts", { t: format.whole(seconds) }),
    ]
      .filter(Boolean)
      .join(" · ");
  };
  fill().catch((problem) => {
    element.textContent = "";
    app.fail(problem);
  });
  return element;
}

async function copy(app, text) {
  try {
    await navigator.clipboard.writeText(text);
    app.notices.toast(app.t("act.copied"));
  } catch {
    const { showText } = await import("./copying.js");
    showText(app, text);
  }
}
