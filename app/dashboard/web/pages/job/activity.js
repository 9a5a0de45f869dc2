// What happened to the job, newest first. Stored batches are one line that moves.

import { h, put } from "../../core/h.js";
import { failureOf } from "../../parts/problems.js";
import { shardsOf } from "../../parts/progress.js";

const MAX_LINES = 30;
const MARKS = {
  completed: "ok",
  failed: "bad",
  rescued: "bad",
  retrying: "warn",
  retried: "warn",
  released: "warn",
  cancel_requested: "warn",
};

/** Create the panel: `{element, update()}`. */
export function activity(app, state, events, signal) {
  const { t, words, format } = app;
  const list = h("ol", { class: "activity" });
  const all = h("button", {
    type: "button",
    class: "quiet",
  });
  const element = h(
    "section",
    { class: "panel" },
    h("header", null, h("h2", null, t("job.happened")), h("span", { class: "spring" }), all),
    list,
  );
  all.addEventListener(
    "click",
    () => element.dispatchEvent(new CustomEvent("show-events", { bubbles: true })),
    { signal },
  );
  let shown = -1;

  function update() {
    if (shown === events.lastSeq) {
      return;
    }
    shown = events.lastSeq;
    all.textContent = words.count("job.events.all", events.lastSeq, format.number(events.lastSeq));
    put(
      list,
      ...collapsed(events.newestFirst)
        .slice(0, MAX_LINES)
        .map((event) => line(app, state.job, event)),
    );
  }

  return { element, update };
}

/** One line of the activity. */
export function line(app, job, event) {
  const { format, live } = app;
  const [title, note] = described(app, job, event);
  return h(
    "li",
    { class: `happened ${MARKS[event.type] ?? ""}` },
    h(
      "time",
      { datetime: event.at, title: format.exact(new Date(event.at)) },
      format.moment(new Date(event.at), live.now()),
    ),
    h("span", { class: "mark" }),
    h(
      "div",
      { class: "said" },
      h("strong", null, title),
      note && h("span", { class: "meta", dir: "auto" }, note),
    ),
  );
}

/** Of stored batches in a row, the last. */
function collapsed(newestFirst) {
  return newestFirst.filter(
    (event, index) => event.type !== "progress" || newestFirst[index - 1]?.type !== "progress",
  );
}

function described(app, job, event) {
  const { t, format, words } = app;
  const n = format.number;
  const key = `event.${event.type}`;
  switch (event.type) {
    case "progress": {
      if (job.shards !== null) {
        const step = shardsOf(app, { shards: job.shards, step: event.step });
        return [step, words.count("unit.rows", event.done, n(event.done))];
      }
      const batches = event.total === null ? "?" : job.kind === "train_model" ? n(event.total) : null;
      const title =
        job.kind === "train_model"
          ? t("unit.epoch", { n: n(event.batch + 1), total: batches })
          : t("event.progress", { n: n(event.batch + 1), total: totalOf(app, job, event) });
      return [title, job.kind === "train_model" ? null : words.count("unit.rows", event.done, n(event.done))];
    }
    case "started":
      return [t(key, { n: n(event.attempt) }), null];
    case "retrying":
      return [
        t(key, { t: format.whole(Math.max((Date.parse(job.run_at) - Date.parse(event.at)) / 1000, 0)) }),
        event.error && failureOf(app, event.error),
      ];
    case "failed":
      return [t(key), event.error && failureOf(app, event.error)];
    case "rescued":
      return [t(key), null];
    case "released":
      return [t(key), t("event.released.note")];
    default:
      return [words.has(key) ? t(key) : event.type, null];
  }
}

function totalOf({ format }, job, event) {
  const size = job.params?.batch_size;
  return event.total === null || !size ? "?" : format.number(Math.ceil(event.total / size));
}
