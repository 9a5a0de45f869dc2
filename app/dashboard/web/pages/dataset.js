// A dataset: its columns with what is missing, its first rows, and what can be done with it.

import { download } from "../api/download.js";
import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { tableOf } from "../parts/table.js";
import { rowsTable } from "../parts/data-rows.js";
import { icon } from "../parts/icons.js";
import { resource } from "../parts/resource.js";
import { named } from "../parts/states.js";
import { usedBy } from "../parts/used-by.js";

const ROWS = 20;

/** Open the page. */
export async function open(root, { id }, signal, app) {
  const { t, session, format } = app;
  app.title(t("data.title"));
  const title = h("h1", null, t("data.title"));
  const actions = h("span", { class: "actions" });
  const facts = h("div");
  const columns = h("div");
  const preview = h("div");
  const users = h("div");
  put(
    root,
    h("header", { class: "page-head" }, title, h("span", { class: "spring" }), actions),
    facts,
    h("section", { class: "panel" }, h("header", null, h("h2", null, t("data.columns"))), columns),
    h(
      "section",
      { class: "panel" },
      h("header", null, h("h2", null, t("data.preview", { n: format.number(ROWS) }))),
      preview,
    ),
    h("section", { class: "panel" }, h("header", null, h("h2", null, t("data.used"))), users),
  );

  const main = resource(app, facts, {
    signal,
    fetch: (until) => session.get(`datasets/${id}`, {}, until),
    render: (dataset) => {
      app.title(dataset.name);
      put(title, named(dataset.name));
      const mayChange = app.can("submit");
      put(
        actions,
        mayChange && h("a", { class: "button", href: to("new", { dataset: id }) }, t("data.predict")),
        mayChange &&
          h("a", { class: "button", href: to("new", { dataset: id, task: "train" }) }, t("data.train")),
        h(
          "button",
          {
            type: "button",
            class: "plain-button",
            onclick: () => download(session, `/datasets/${id}/content`).catch((problem) => app.fail(problem)),
          },
          icon("download"),
          t("act.download"),
        ),
        mayChange &&
          h("button", { type: "button", class: "danger", onclick: () => remove(dataset) }, t("act.delete")),
      );
      return h(
        "p",
        { class: "meta" },
        [
          app.words.count("unit.rows", dataset.rows, format.number(dataset.rows)),
          format.bytes(dataset.bytes),
          dataset.format.toUpperCase(),
          `${t("data.digest")} ${dataset.sha256.slice(0, 12)}…`,
        ].join(" · "),
      );
    },
  });
  const profile = resource(app, columns, {
    signal,
    fetch: (until) => session.json("GET", `datasets/${id}/profile`, { signal: until, timeout: 300_000 }),
    render: (found) => profileTable(app, found),
  });
  const rows = resource(app, preview, {
    signal,
    fetch: (until) => session.get(`datasets/${id}/preview`, { rows: ROWS }, until),
    render: (found) => rowsTable(app, found.rows, t("data.preview", { n: format.number(found.rows.length) })),
  });

  const used = usedBy(app, users, { filters: { dataset_id: id }, signal });

  async function remove(dataset) {
    if (await app.notices.ask({ title: t("data.delete", { name: dataset.name }), action: t("act.delete") })) {
      try {
        await session.json("DELETE", `datasets/${id}`);
        app.notices.toast(t("done.deleted", { name: dataset.name }));
        app.go("datasets");
      } catch (problem) {
        app.fail(problem);
      }
    }
  }

  await Promise.all([main.refresh(), rows.refresh(), profile.refresh(), used.refresh()]);
}

function profileTable(app, { rows, columns, duplicate_rows: duplicates }) {
  const { t, format } = app;
  const table = tableOf(
    t("data.columns"),
    "list",
    [t("sched.name"), t("data.type"), t("data.missing"), t("data.values"), t("data.spread")],
    columns.map((column) =>
      h(
        "tr",
        null,
        h("th", { scope: "row", dir: "auto" }, column.name),
        h("td", null, column.type),
        h("td", { class: "number" }, rows === 0 ? "–" : format.percent(column.missing / rows, 1)),
        h(
          "td",
          { class: "text" },
          h("p", { class: "meta" }, described(app, column)),
          ...column.warnings.map((warning) =>
            h("p", { class: "column-warning", title: warning.message }, icon("alert"), warned(app, warning)),
          ),
        ),
        h("td", null, histogram(column)),
      ),
    ),
  );
  return [
    table,
    duplicates > 0 && h("p", { class: "meta" }, t("data.duplicates", { n: format.number(duplicates) })),
  ];
}

/** What to look at before training, in the language of the page. */
function warned({ t, words }, { code, message }) {
  const key = `data.warning.${code}`;
  return words.has(key) ? t(key) : message;
}

function described({ format }, column) {
  if (typeof column.mean === "number") {
    return `${format.value(column.min)} – ${format.value(column.max)}, x̄ ${format.value(column.mean)}`;
  }
  return (column.most_frequent ?? [])
    .slice(0, 3)
    .map(({ value, count }) => `${String(value).slice(0, 24)} (${format.number(count)})`)
    .join(", ");
}

/** The distribution of a column as small bars. */
function histogram(column) {
  const counts = column.histogram?.counts ?? (column.most_frequent ?? []).map((one) => one.count);
  const highest = Math.max(...counts, 1);
  return h(
    "span",
    { class: "histogram", "aria-hidden": "true" },
    ...counts.map((count) => h("span", { vars: { share: count / highest } })),
  );
}
