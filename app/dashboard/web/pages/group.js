// A group of jobs, or a search: how many are in each state, and which trial is best.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { tableOf } from "../parts/table.js";
import { stateIcon } from "../parts/icons.js";
import { poll } from "../parts/polling.js";
import { resource } from "../parts/resource.js";
import { jobLink, modelLink, named, shortId, stateOf } from "../parts/states.js";

const STATES = ["pending", "running", "completed", "failed", "cancelled"];

/** Open the page. */
export async function open(root, { id }, signal, app) {
  const { t, session } = app;
  const name = t("group.title", { id: id.slice(0, 8) });
  app.title(name);
  const body = h("div");
  const kind = h("span", { class: "meta", hidden: true }, t("group.search"));
  const cancel = h(
    "button",
    { type: "button", class: "danger", hidden: true, onclick: () => cancelAll() },
    t("group.cancel"),
  );
  put(
    root,
    h("header", { class: "page-head" }, h("h1", null, name), kind, h("span", { class: "spring" }), cancel),
    body,
  );

  const group = resource(app, body, {
    signal,
    sentence: (problem) => (problem.status === 404 ? t("group.none") : null),
    fetch: async (until) => {
      const found = await session.get(`groups/${encodeURIComponent(id)}`, {}, until);
      const jobs = found.search
        ? null
        : await session.get("jobs", { group_id: id, view: "row", limit: 100 }, until);
      return { found, jobs: jobs?.items ?? [] };
    },
    render: ({ found, jobs }) => {
      cancel.hidden = found.is_finished || !app.can("submit");
      kind.hidden = !found.search;
      return [counts(app, found), found.search ? leaderboard(app, found.search) : jobList(app, id, jobs)];
    },
  });

  async function cancelAll() {
    if (
      await app.notices.ask({
        title: t("group.cancel"),
        text: t("group.cancel.text"),
        action: t("group.cancel"),
      })
    ) {
      try {
        await session.json("DELETE", `groups/${id}`);
        app.notices.toast(t("done.cancel.asked"));
        group.refresh();
      } catch (problem) {
        app.fail(problem);
      }
    }
  }

  poll(app, signal, group.refresh);
  await group.refresh();
}

function counts(app, group) {
  const { t, format } = app;
  return h(
    "section",
    { class: "panel" },
    h(
      "p",
      { class: "group-counts" },
      h("strong", { class: "percent" }, format.percent(group.progress / 100)),
      ...STATES.filter((state) => group.statuses[state] > 0).map((state) =>
        h(
          "a",
          { href: to("jobs", { group_id: group.group_id, status: state }), class: `state ${state}` },
          stateIcon(state),
          `${format.number(group.statuses[state])} ${t(`state.${state}`)}`,
        ),
      ),
    ),
  );
}

function jobList(app, id, jobs) {
  const { t, format } = app;
  return h(
    "section",
    { class: "panel" },
    h(
      "header",
      null,
      h("h2", null, t("jobs.title")),
      h("span", { class: "spring" }),
      h("a", { href: to("jobs", { group_id: id }) }, t("nav.jobs")),
    ),
    h(
      "ul",
      { class: "running-list" },
      ...jobs.map((job) =>
        h(
          "li",
          null,
          h(
            "span",
            { class: "what" },
            jobLink(app, job),
            " ",
            job.model && named(job.model),
            " ",
            h("span", { class: "mono meta" }, shortId(job.job_id)),
          ),
          stateOf(app, job),
          h("span", { class: "number" }, format.percent(job.progress / 100)),
        ),
      ),
    ),
  );
}

function leaderboard(app, search) {
  const { t, format } = app;
  const trials = search.leaderboard;
  const differing = [...new Set(trials.flatMap((trial) => Object.keys(trial.params)))].filter(
    (name) => new Set(trials.map((trial) => JSON.stringify(trial.params[name]))).size > 1,
  );
  const said = (value) =>
    typeof value === "number"
      ? format.value(value)
      : typeof value === "string"
        ? value
        : JSON.stringify(value ?? null);
  return h(
    "section",
    { class: "panel" },
    h(
      "header",
      null,
      h("h2", null, t("group.leaderboard")),
      search.best_model &&
        h(
          "span",
          { class: "meta" },
          ...app.words.nodes("group.best", { version: modelLink(search.best_model) }),
        ),
    ),
    tableOf(
      t("group.leaderboard"),
      "list",
      [
        t("group.rank"),
        t("group.trial"),
        t("jobs.c.state"),
        t("new.algorithm"),
        ...differing,
        search.metric ?? t("models.metrics"),
        ...(search.folds === null ? [] : [t("group.folds")]),
        t("models.version"),
      ],
      trials.map((trial) =>
        h(
          "tr",
          { class: trial.job_id === search.best_job_id ? "selected" : null },
          h("td", { class: "number" }, trial.rank === null ? "–" : format.number(trial.rank)),
          h("td", null, h("a", { href: to(`jobs/${trial.job_id}`), class: "mono" }, shortId(trial.job_id))),
          h("td", null, stateOf(app, { status: trial.status, run_at: "1970-01-01T00:00:00Z", failures: 0 })),
          h("td", null, trial.algorithm),
          ...differing.map((name) => h("td", { class: "number" }, said(trial.params[name]))),
          h(
            "td",
            { class: "number" },
            trial.value === null
              ? trial.status === "running"
                ? format.percent(trial.progress / 100)
                : "–"
              : format.value(trial.value) + (trial.std === null ? "" : ` ± ${format.value(trial.std)}`),
          ),
          search.folds !== null && h("td", null, ...trial.folds.flatMap((fold) => [foldLink(app, fold), " "])),
          h("td", null, trial.model === null ? "–" : modelLink(trial.model)),
        ),
      ),
    ),
  );
}

function foldLink(app, fold) {
  const { t, format } = app;
  const state = fold.status === "running" ? format.percent(fold.progress / 100) : t(`state.${fold.status}`);
  const title = t("group.fold", { n: fold.fold });
  return h(
    "a",
    { href: to(`jobs/${fold.job_id}`), title, class: "number" },
    fold.value === null ? state : format.value(fold.value),
  );
}
