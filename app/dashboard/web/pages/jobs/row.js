// One row of the list of jobs.

import { h, put, set, setText } from "../../core/h.js";
import { to } from "../../core/places.js";
import { menuButton } from "../../parts/menu.js";
import { jobItems } from "../../parts/job-actions.js";
import { failureOf } from "../../parts/problems.js";
import { bar, doneOf, secondsLeft, shardsOf } from "../../parts/progress.js";
import { jobLink, named, shortId, showState } from "../../parts/states.js";

/** Create the row: `{element, update(job)}`. */
export function createRow(app, job, { isSelected, onTick, belongs, idleQueues, hasOwners, onChanged }) {
  const { t, format, times } = app;
  const tick = h("input", {
    type: "checkbox",
    checked: isSelected(job.job_id),
    onclick: (event) => onTick(job.job_id, tick.checked, event.shiftKey),
  });
  const state = h("span", { class: "state" });
  const meter = bar(app);
  const done = h("span", { class: "number" });
  const attempt = h("td", { class: "number attempt" });
  const owner = h("td", { class: "owner" });
  const details = h("td", { class: "details" });
  let shown = null;
  let latest = job;

  const element = h(
    "tr",
    { "data-key": job.job_id },
    h("td", { class: "tick" }, tick),
    h("td", { class: "state-cell" }, state),
    h(
      "td",
      { class: "job" },
      jobLink(app, job),
      " ",
      job.model && named(job.model, { max: 32 }),
      " ",
      h("span", { class: "mono meta id", title: job.job_id }, shortId(job.job_id)),
      job.priority !== "normal" && h("span", { class: `tag ${job.priority}` }, t(`priority.${job.priority}`)),
    ),
    owner,
    h("td", { class: "queue meta" }, named(job.queue, { max: 16 })),
    h("td", { class: "progress" }, h("span", { class: "progress-box" }, meter.element, done)),
    attempt,
    details,
    h("td", { class: "created meta end" }, times.moment(job.created_at)),
    h(
      "td",
      { class: "row-menu" },
      menuButton({
        label: t("menu.row", { id: shortId(job.job_id) }),
        items: () => jobItems(app, latest, onChanged),
      }),
    ),
  );

  function update(next) {
    const isOther = next !== latest;
    if (hasOwners() !== owner.hasChildNodes()) {
      put(owner, hasOwners() && ownerLink(next.owner));
    }
    latest = next;
    tick.checked = isSelected(next.job_id);
    set(tick, {
      "aria-label": t("jobs.select", { id: shortId(next.job_id), state: t(`state.${next.status}`) }),
    });
    element.classList.toggle("selected", tick.checked);
    element.classList.toggle("left", !belongs(next));
    const key = [next.status, next.cancel_requested, next.run_at, next.failures].join();
    if (key !== shown || isOther) {
      shown = key;
      showState(app, state, next);
      put(details, sentence(app, next, idleQueues));
    }
    if (details.dataset.idle !== String(idleQueues().get(next.queue)) && next.status === "pending") {
      details.dataset.idle = String(idleQueues().get(next.queue));
      put(details, sentence(app, next, idleQueues));
    }
    const isTelling =
      next.status === "running" ||
      ((next.status === "failed" || next.status === "cancelled" || next.status === "pending") &&
        next.done > 0);
    meter.element.hidden = !isTelling || next.total === null;
    if (isTelling) {
      meter.update(next);
    }
    setText(done, next.status === "pending" && next.done === 0 ? "" : doneOf(app, next));
    setText(attempt, next.attempt > 1 ? format.number(next.attempt) : "");
  }

  update(job);
  return { element, update };
}

/** The owner of a job, as a link to all of their jobs. */
function ownerLink(name) {
  return h("a", { href: to("jobs", { owner: name }) }, named(name, { max: 20 }));
}

/** What there is to say about a job: time left, how long it took, or why it failed. */
function sentence(app, job, idleQueues) {
  const { t, times, format, live } = app;
  switch (job.status) {
    case "running":
      return times.every(() => {
        const left = secondsLeft(job, live.now());
        const time = left === null ? null : t("time.left", { t: format.whole(left) });
        return [shardsOf(app, job), time].filter(Boolean).join(" · ");
      });
    case "pending":
      if (Date.parse(job.run_at) > live.now()) {
        return job.error === null ? "" : failure(app, job.error);
      }
      if (idleQueues().has(job.queue)) {
        const key = idleQueues().get(job.queue) === "queue_paused" ? "jobs.paused" : "jobs.noworker";
        return h("span", { class: "warn" }, t(key, { queue: job.queue }));
      }
      return times.since(job.run_at, (seconds) => t("jobs.waiting", { t: format.whole(seconds) }));
    case "failed":
      return job.error === null ? "" : failure(app, job.error);
    default: {
      const seconds =
        job.started_at === null ? null : (Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000;
      return seconds === null ? "" : t("time.took", { t: format.duration(seconds) });
    }
  }
}

function failure(app, error) {
  return h("span", { title: error.message, dir: "auto" }, failureOf(app, error));
}
