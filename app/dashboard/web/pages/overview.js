// Is work flowing? What waits, runs and has ended, what needs attention, and who works.

import { pipeline } from "../charts/pipeline.js";
import { queueTimes } from "../charts/queue-times.js";
import { workersTable } from "../charts/slots.js";
import { throughput } from "../charts/throughput.js";
import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { signal as value } from "../core/signal.js";
import { everyone } from "../live/everyone.js";
import { attentionList } from "../parts/attention.js";
import { choice } from "../parts/choice.js";
import { poll } from "../parts/polling.js";
import { RANGES } from "../parts/ranges.js";
import { resource } from "../parts/resource.js";
import { runningNow, upcoming } from "../parts/running.js";

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session } = app;
  let range = RANGES.some(([name]) => name === query.get("range")) ? query.get("range") : "1h";
  let scope = query.get("scope") === "all" && app.can("operate") ? "all" : "own";
  app.title(t("over.title"));

  const ranges = choice(
    t("over.title"),
    RANGES.map(([name, key]) => [name, t(key)]),
    range,
    (name) => {
      range = name;
      change();
    },
  );
  const scopes = app.can("operate")
    ? choice(
        t("jobs.f.owner"),
        [
          ["own", t("over.scope.mine")],
          ["all", t("over.scope.all")],
        ],
        scope,
        (name) => {
          scope = name;
          change();
        },
      )
    : null;
  const flow = pipeline(app);
  const cursor = value(null);
  const bars = throughput(app, signal, cursor, ({ buckets, minutes }, index) => {
    const from = Date.parse(buckets[index].at);
    app.go("jobs", {
      status: buckets[index].failed > buckets[index].completed ? "failed" : "completed",
      created_after: new Date(from).toISOString(),
      created_before: new Date(from + minutes * 60_000).toISOString(),
    });
  });
  const waits = queueTimes(app, signal, cursor);
  for (const chart of [bars, waits]) {
    chart.element.addEventListener("pointerleave", () => (cursor.value = null), { signal });
  }
  const attention = h("section", { class: "panel attention", "aria-label": t("over.person") });
  const workers = h("div");
  const now = h("div");
  const next = h("div");
  const note = h("div", { class: "flat" });
  const main = h(
    "div",
    { class: "overview-grid" },
    h("div", { class: "flow-box" }, flow.element, attention),
    h("div", { class: "charts" }, bars.element, waits.element),
    h(
      "section",
      { class: "panel wide" },
      h(
        "header",
        null,
        h("h2", null, t("over.workers")),
        h("span", { class: "meta" }, t("over.workers.note")),
      ),
      workers,
    ),
    h(
      "section",
      { class: "panel" },
      h(
        "header",
        null,
        h("h2", null, t("over.now")),
        h("span", { class: "spring" }),
        h("a", { href: to("jobs", { status: "running" }) }, t("nav.jobs")),
      ),
      now,
    ),
    h(
      "section",
      { class: "panel" },
      h(
        "header",
        null,
        h("h2", null, t("over.next")),
        h("span", { class: "spring" }),
        h("a", { href: to("schedules") }, t("nav.schedules")),
      ),
      next,
    ),
  );
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("over.title")),
      h("span", { class: "spring" }),
      h("a", { href: to("wall"), class: "wall-link" }, t("wall.title")),
      scopes,
      ranges,
    ),
    note,
    main,
  );

  const overview = resource(app, note, {
    signal,
    skeleton: 0,
    fetch: (until) => session.get("stats/overview", { range, scope }, until),
    render: (data) => {
      const [, key, minutes] = RANGES.find(([name]) => name === range);
      flow.update(data, t(key));
      bars.update({ buckets: data.buckets, marks: data.marks, minutes });
      waits.update(data);
      first(app, main, data, signal);
    },
  });
  const parts = [
    overview,
    attentionList(app, attention, { signal, scope: () => scope }),
    resource(app, workers, {
      signal,
      fetch: (until) => session.get("workers", {}, until),
      render: ({ items }) =>
        items.length === 0
          ? h("p", { class: "quiet-line" }, t("over.workers.none"))
          : workersTable(app, items),
    }),
    runningNow(app, now, { signal, scope: () => scope }),
  ];
  const schedules = upcoming(app, next, { signal });
  const refresh = () => Promise.all(parts.map((part) => part.refresh()));

  function change() {
    app.navigator.setQuery({ range: range === "1h" ? null : range, scope: scope === "own" ? null : scope });
    followAll(scope === "all");
    refresh();
  }

  const changed = poll(app, signal, refresh);
  const followAll = everyone(app, signal, { onEvents: changed, onLost: changed });
  followAll(scope === "all");
  await Promise.all([refresh(), schedules.refresh()]);
}

/** In an empty system, a form to run the first job. */
async function first(app, main, { pending, running, ended }, signal) {
  const isEmpty = pending.total + running.total + ended.completed + ended.failed + ended.cancelled === 0;
  const shown = main.querySelector(".first-job");
  const counts = app.live.stats.peek()?.counts;
  const hasJobs = counts !== undefined && Object.values(counts).some((count) => count > 0);
  if (!isEmpty || hasJobs || !app.can("submit")) {
    if (!isEmpty) {
      shown?.remove();
    }
    return;
  }
  if (shown === null) {
    const { firstJob } = await import("../parts/first-job.js");
    if (main.querySelector(".first-job") === null) {
      main.prepend(firstJob(app, signal));
    }
  }
}
