// A schedule: its next runs, in its zone and the reader's, its policies, its job, and what became of its ticks.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { json } from "../parts/json.js";
import { menuButton } from "../parts/menu.js";
import { poll } from "../parts/polling.js";
import { resource } from "../parts/resource.js";
import { kindOf, named } from "../parts/states.js";
import { scheduleItems } from "./schedules/actions.js";
import { anchored, fireList, fireZones } from "./schedules/fires.js";
import { history } from "./schedules/history.js";
import { recent, statusTag } from "./schedules/marks.js";
import { reasonLine, ruleOf } from "./schedules/words.js";

const RECENT_JOBS = 20;
const SHOWN_RUNS = 10;

/** Open the page. */
export async function open(root, { id }, signal, app) {
  const { t, session } = app;
  app.title(t("sched.title"));
  const title = h("h1", null, t("sched.title"));
  const actions = h("span", { class: "actions" });
  const main = h("div");
  let shown = null;
  const past = history(app, signal, id);
  put(
    root,
    h("header", { class: "page-head" }, title, h("span", { class: "spring" }), actions),
    main,
    past.element,
  );

  const schedule = resource(app, main, {
    signal,
    fetch: (until) => load(session, id, until),
    render: ({ one, statuses, fires }) => {
      app.title(one.name);
      put(title, named(one.name));
      shown = one;
      if (app.can("submit") && actions.childElementCount === 0) {
        put(actions, buttons()); // they stay: a menu of theirs may be open
      }
      return [about(app, one, statuses), next(app, one, fires)];
    },
  });
  const refresh = () => Promise.all([schedule.refresh(), past.refresh()]);

  function buttons() {
    return [
      h("a", { class: "button", href: to(`schedules/${shown.schedule_id}/edit`) }, t("act.edit")),
      menuButton({
        label: t("act.more"),
        text: t("act.more"),
        symbol: "chevron",
        className: "plain-button",
        items: () => scheduleItems(app, shown, refresh, () => app.go("schedules")),
      }),
    ];
  }

  poll(app, signal, refresh, { busy: 5000 });
  await refresh();
}

async function load(session, id, until) {
  const one = await session.get(`schedules/${encodeURIComponent(id)}`, {}, until);
  const [jobs, fires] = await Promise.all([
    session.get("jobs", { schedule_id: one.schedule_id, limit: RECENT_JOBS, view: "row" }, until),
    upcoming(session, one, until),
  ]);
  return { one, statuses: jobs.items.map((job) => job.status), fires };
}

/** The next runs, with what changes of clocks do to them. Those of `once` are known from the schedule. */
async function upcoming(session, one, signal) {
  if (one.next_fire_at === null) {
    return [];
  }
  const left = one.max_runs === null ? SHOWN_RUNS : Math.min(one.max_runs - one.fired, SHOWN_RUNS);
  if (one.trigger.once || left < 1) {
    return one.next_fires.map((at) => ({ fire_at: at, local: at, note: null }));
  }
  const timing = anchored({ trigger: one.trigger, starts_at: one.starts_at }, one.created_at);
  const body = {
    trigger: timing.trigger,
    timezone: one.timezone,
    ...(one.starts_at !== null && { starts_at: one.starts_at }),
    ...(one.ends_at !== null && { ends_at: one.ends_at }),
    count: left,
  };
  try {
    return (await session.post("schedules/preview", body, { signal })).fires;
  } catch (problem) {
    if (problem.status !== 422) {
      throw problem;
    }
    return one.next_fires.map((at) => ({ fire_at: at, local: at, note: null })); // its last tick is due now
  }
}

function about(app, one, statuses) {
  const { t, format } = app;
  const facts = [
    [t("sched.zone"), h("bdi", null, one.timezone)],
    one.group !== null && [t("sched.group"), named(one.group)],
    one.starts_at !== null && [t("sched.start"), app.times.moment(one.starts_at)],
    one.ends_at !== null && [t("sched.end"), app.times.moment(one.ends_at)],
    [
      t("sched.fired.count"),
      format.number(one.fired) + (one.max_runs === null ? "" : ` / ${format.number(one.max_runs)}`),
    ],
    [t("sched.overlap"), t(`sched.overlap.${one.overlap}`)],
    [t("sched.catchup"), t(`sched.catchup.${one.catch_up}`)],
    one.pause_after_failures !== null && [t("sched.failures"), format.number(one.pause_after_failures)],
    one.jitter_seconds > 0 && [t("sched.jitter"), format.number(one.jitter_seconds)],
  ].filter(Boolean);
  return h(
    "section",
    { class: "panel step" },
    h(
      "p",
      { class: "row" },
      statusTag(app, one),
      ruleOf(app, one),
      one.cron !== null && h("code", null, one.cron),
      statuses.length > 0 && recent(app, statuses),
    ),
    one.reason !== null && h("p", { class: "warning" }, reasonLine(app, one.reason)),
    h(
      "table",
      { class: "facts-table" },
      h("caption", { class: "unseen" }, t("sched.policies")),
      h(
        "tbody",
        null,
        ...facts.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, value))),
      ),
    ),
    h(
      "details",
      null,
      h("summary", null, `${t("sched.template")}: `, kindOf(app, one.kind)),
      json(app, one.job),
    ),
  );
}

function next(app, one, fires) {
  const { t } = app;
  return h(
    "section",
    { class: "panel" },
    h("header", null, h("h2", null, t("sched.next"))),
    fires.length === 0
      ? h("p", { class: "quiet-line" }, "–")
      : [fireZones(app, one.timezone), fireList(app, fires, one.timezone)],
  );
}
