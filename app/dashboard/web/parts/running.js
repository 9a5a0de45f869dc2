// The jobs that run now, longest first, and the next runs of schedules.

import { h } from "../core/h.js";
import { to } from "../core/places.js";
import { bar, doneOf, showLeft } from "./progress.js";
import { resource } from "./resource.js";
import { jobLink, named, shortId } from "./states.js";

const MAX_SHOWN = 6;
const MAX_READ = 100;

/** Show the running jobs in an element, moving with their events. */
export function runningNow(app, element, { signal, scope = () => "own", max = MAX_SHOWN }) {
  const { t, session, live } = app;
  const rows = new Map();

  live.inbox.onEvents((events) => {
    for (const { event } of events) {
      rows.get(event.job_id)?.patch(event);
    }
  }, signal);

  return resource(app, element, {
    signal,
    fetch: (until) =>
      session.get(
        "jobs",
        { status: "running", view: "row", limit: MAX_READ, owner: scope() === "all" ? "*" : null },
        until,
      ),
    render: ({ items }) => {
      const longest = items
        .toSorted((one, other) => Date.parse(one.started_at) - Date.parse(other.started_at))
        .slice(0, max);
      rows.clear();
      if (longest.length === 0) {
        return h("p", { class: "quiet-line" }, t("over.now.none"));
      }
      return h("ul", { class: "running-list" }, ...longest.map((job) => row(app, job, rows)));
    },
  });
}

/** Show the next runs of schedules in an element. */
export function upcoming(app, element, { signal }) {
  const { t, session, times, format, live } = app;
  return resource(app, element, {
    signal,
    fetch: (until) => session.get("schedules", { status: "active", limit: MAX_READ }, until),
    render: ({ items }) => {
      const next = items
        .filter((one) => one.next_fire_at !== null)
        .toSorted((one, other) => one.next_fire_at.localeCompare(other.next_fire_at))
        .slice(0, MAX_SHOWN);
      if (next.length === 0) {
        return h("p", { class: "quiet-line" }, t("over.next.none"));
      }
      return h(
        "ul",
        { class: "next-list" },
        ...next.map((one) =>
          h(
            "li",
            null,
            h("a", { href: to(`schedules/${one.schedule_id}`) }, named(one.name)),
            h("span", { class: "meta" }, format.moment(new Date(one.next_fire_at), live.now())),
            h("span", null, times.moment(one.next_fire_at)),
          ),
        ),
      );
    },
  });
}

function row(app, job, rows) {
  const meter = bar(app);
  const done = h("span", { class: "number" });
  const left = h("span", { class: "number left" });
  const show = () => {
    meter.update(job);
    done.textContent = doneOf(app, job);
    showLeft(app, left, job);
  };
  show();
  rows.set(job.job_id, {
    patch(event) {
      Object.assign(job, {
        status: event.status,
        progress: event.progress,
        done: event.done,
        total: event.total,
      });
      show();
    },
  });
  return h(
    "li",
    null,
    h(
      "span",
      { class: "what" },
      jobLink(app, job),
      " ",
      job.model && named(job.model, { max: 28 }),
      " ",
      h("span", { class: "mono meta" }, shortId(job.job_id)),
    ),
    meter.element,
    done,
    left,
  );
}
