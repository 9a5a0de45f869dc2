// The head of a job: what it is, its state, and what can be done with it.

import { download } from "../../api/download.js";
import { h, put, setText } from "../../core/h.js";
import { to } from "../../core/places.js";
import { icon } from "../../parts/icons.js";
import { cancelJob, isCancellable, isRetryable, retryJob } from "../../parts/job-actions.js";
import { menuButton } from "../../parts/menu.js";
import { kindOf, modelLink, named, shortId, showState } from "../../parts/states.js";

const WITH_ROWS = ["batch_predict", "evaluate_model"];
// A model that is uploaded again is another request than that of the job that inspected it.
export const WITHOUT_REQUEST = ["inspect_model"];
export const FORMATS = [
  ["csv", "CSV"],
  ["ndjson", "JSON Lines"],
  ["parquet", "Parquet"],
];
const STUCK_AFTER = 200;

/** Create the head: `{element, update()}`. */
export function head(app, state, { isEmbedded, signal, onChanged }) {
  const { t, format } = app;
  const { job } = state;
  const badge = h("span", { class: "state" });
  const facts = h("p", { class: "facts" });
  const actions = h("div", { class: "actions" });
  const small = h("div", { class: "stuck", hidden: true });
  const percent = h("strong");
  const smallActions = h("span", { class: "actions" });
  const name = [kindOf(app, job.kind), " ", job.model && h("span", { class: "model" }, modelLink(job.model))];
  put(small, h("span", { class: "state" }), percent, h("span", { class: "spring" }), smallActions);
  const title = `${kindOf(app, job.kind)}${job.model ? ` ${job.model}` : ""}`;
  if (!isEmbedded) {
    app.title(title);
  }
  const element = h(
    "header",
    { class: "job-head" },
    h(
      "p",
      { class: "crumbs" },
      h("a", { href: to("jobs") }, t("nav.jobs")),
      " / ",
      h("span", { class: "mono" }, job.job_id),
      app.copyButton(job.job_id, t("act.copy.id")),
    ),
    h(
      "div",
      { class: "job-title" },
      h(isEmbedded ? "h2" : "h1", null, ...name),
      h("span", { class: "spring" }),
      actions,
    ),
    facts,
    small,
  );
  if (!isEmbedded) {
    addEventListener("scroll", () => (small.hidden = scrollY < STUCK_AFTER), { signal, passive: true });
  }
  let shown = "";

  function update() {
    const { job: now } = state;
    const key = [
      now.status,
      now.cancel_requested,
      now.run_at,
      now.failures,
      now.attempt,
      now.worker,
      now.done > 0,
      app.paused.peek(),
    ].join();
    setText(percent, now.total === null ? "" : format.percent(now.progress / 100));
    if (key === shown) {
      return;
    }
    shown = key;
    showState(app, badge, now);
    showState(app, small.firstChild, now);
    put(facts, badge, ...factsOf(app, now));
    put(actions, ...actionsFor(app, now, onChanged));
    put(smallActions, actionsFor(app, now, onChanged).at(-1) ?? null);
  }

  return { element, update };
}

function factsOf(app, job) {
  const { t, format } = app;
  const n = format.number;
  const facts = [];
  if (job.owner !== app.user?.username) {
    facts.push(
      h(
        "a",
        { href: to("jobs", { owner: job.owner }) },
        `${t("jobs.f.owner")} `,
        named(job.owner, { max: 28 }),
      ),
    );
  }
  if (job.attempt > 0 && job.status === "running") {
    facts.push(
      job.worker === null
        ? t("job.attempt.bare", { n: n(job.attempt) })
        : h(
            "span",
            null,
            ...app.words.nodes("job.attempt", { n: n(job.attempt), worker: named(job.worker, { max: 28 }) }),
          ),
    );
  }
  if (job.failures > 0) {
    facts.push(t("job.failures", { n: n(job.failures), max: n(job.max_attempts) }));
  }
  facts.push(
    h(
      "span",
      null,
      ...app.words.nodes("job.queue", { queue: named(job.queue), priority: t(`priority.${job.priority}`) }),
    ),
  );
  if (job.dataset !== null) {
    facts.push(
      h(
        "a",
        { href: to(`datasets/${job.dataset.dataset_id}`) },
        ...app.words.nodes("job.dataset", { name: named(job.dataset.name) }),
      ),
    );
  }
  if (job.group_id !== null) {
    facts.push(
      h("a", { href: to(`groups/${job.group_id}`) }, t("job.group", { id: job.group_id.slice(0, 8) })),
    );
  }
  if (job.schedule_id !== null) {
    facts.push(h("a", { href: to(`schedules/${job.schedule_id}`) }, t("jobs.f.schedule")));
  }
  if (job.dismissed) {
    const { reason } = job.dismissed;
    facts.push(
      h("span", { dir: "auto" }, reason === null ? t("job.dismissed.bare") : t("job.dismissed", { reason })),
    );
  }
  if (job.parent_id !== null) {
    facts.push(
      h("a", { href: to(`jobs/${job.parent_id}`) }, t("job.shardof", { id: shortId(job.parent_id) })),
    );
  }
  if (job.resubmitted_from) {
    facts.push(
      h(
        "a",
        { href: to(`jobs/${job.resubmitted_from}`) },
        t("job.from", { id: shortId(job.resubmitted_from) }),
      ),
    );
  }
  for (const [key, value] of Object.entries(job.metadata)) {
    facts.push(h("span", { class: "tag" }, named(`${key}=${value}`, { max: 40 })));
  }
  return facts.flatMap((fact) => [h("span", { class: "dot-between", "aria-hidden": "true" }, "·"), fact]);
}

function actionsFor(app, job, onChanged) {
  const { t, session } = app;
  const has = WITH_ROWS.includes(job.kind) && job.done > 0;
  const isOwn = app.can("submit") && job.parent_id === null; // what is about a shard is about its job
  const save = (format) =>
    download(session, `/jobs/${job.job_id}/results?format=${format}`).catch((problem) => app.fail(problem));
  return [
    isOwn &&
      !WITHOUT_REQUEST.includes(job.kind) &&
      h("a", { href: to("new", { from: job.job_id }), class: "button" }, t("act.again")),
    has &&
      menuButton({
        label: t("act.download"),
        text: t(job.status === "running" ? "job.results.sofar" : "act.download"),
        symbol: "download",
        className: "plain-button",
        items: () => FORMATS.map(([format, text]) => ({ text, run: () => save(format) })),
      }),
    isOwn &&
      isRetryable(job) &&
      h(
        "button",
        { type: "button", class: "plain-button", onclick: async () => onChanged(await retryJob(app, job)) },
        icon("repeat"),
        t("act.retry"),
      ),
    isOwn &&
      isRetryable(job) &&
      menuButton({
        label: t("act.more"),
        className: "plain-button square",
        items: () => [
          {
            text: t("act.retry.start"),
            run: async () => onChanged(await retryJob(app, job, { fromStart: true })),
          },
        ],
      }),
    isOwn &&
      isCancellable(job) &&
      h(
        "button",
        { type: "button", class: "danger", onclick: async () => onChanged(await cancelJob(app, job)) },
        icon("stop"),
        t("act.cancel"),
      ),
  ].filter(Boolean);
}
