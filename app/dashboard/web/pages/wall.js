// For a display on the wall: the overview in large type, without navigation, on one screen.

import { pipeline } from "../charts/pipeline.js";
import { queueTimes } from "../charts/queue-times.js";
import { workersTable } from "../charts/slots.js";
import { throughput } from "../charts/throughput.js";
import { h, put } from "../core/h.js";
import { signal as value } from "../core/signal.js";
import { everyone } from "../live/everyone.js";
import { attentionList } from "../parts/attention.js";
import { stayAwake } from "../parts/awake.js";
import { fitting } from "../parts/fitting.js";
import { poll } from "../parts/polling.js";
import { rangeOf } from "../parts/ranges.js";
import { resource } from "../parts/resource.js";

const QUIET_MILLISECONDS = 5000;
const STATES = ["lost", "draining", "live"];

/** Open the page. Escape leads to the overview. */
export async function open(root, { query }, signal, app) {
  const { t, session } = app;
  const { range, name, minutes } = rangeOf(app, query);
  const scope = app.can("operate") && query.get("scope") !== "own" ? "all" : "own";
  app.title(t("wall.title"));
  stayAwake(signal);

  const flow = pipeline(app);
  const cursor = value(null);
  const bars = throughput(app, signal, cursor);
  const waits = queueTimes(app, signal, cursor);
  const attention = h("div", { class: "fitted" });
  const workers = h("div", { class: "fitted" });
  const note = h("div", { class: "flat" });
  put(
    root,
    h("h1", { class: "unseen" }, t("wall.title")),
    note,
    flow.element,
    h("div", { class: "charts" }, bars.element, waits.element),
    h(
      "div",
      { class: "wall-foot" },
      h("section", { class: "panel" }, h("header", null, h("h2", null, t("over.workers"))), workers),
      h("section", { class: "panel attention", "aria-label": t("over.person") }, attention),
    ),
  );
  const fitWorkers = fitting(app, workers, "tbody tr:not(.group)", signal);
  const fitAttention = fitting(app, attention, ".attention-list li", signal);
  const overview = resource(app, note, {
    signal,
    skeleton: 0,
    fetch: (until) => session.get("stats/overview", { range, scope }, until),
    render: (data) => {
      flow.update(data, name);
      bars.update({ buckets: data.buckets, marks: data.marks, minutes });
      waits.update(data);
    },
  });
  const parts = [
    [overview, () => {}],
    [attentionList(app, attention, { signal, scope: () => scope }), fitAttention],
    [
      resource(app, workers, {
        signal,
        fetch: (until) => session.get("workers", {}, until),
        render: ({ items }) =>
          items.length === 0
            ? h("p", { class: "quiet-line" }, t("over.workers.none"))
            : workersTable(app, items.toSorted(byState)),
      }),
      fitWorkers,
    ],
  ];
  const refresh = () =>
    Promise.all(
      parts.map(async ([part, fit]) => {
        await part.refresh();
        fit();
      }),
    );

  document.addEventListener(
    "keydown",
    ({ key, defaultPrevented }) => {
      if (key === "Escape" && !defaultPrevented && document.querySelector("dialog[open]") === null) {
        app.go("");
      }
    },
    { signal },
  );
  const changed = poll(app, signal, refresh, { quiet: QUIET_MILLISECONDS });
  everyone(app, signal, { onEvents: changed, onLost: changed })(scope === "all");
  await refresh();
}

function byState(one, other) {
  return STATES.indexOf(one.state) - STATES.indexOf(other.state) || one.name.localeCompare(other.name);
}
