// The datasets, and uploads: by button, drop or paste, several at once.

import { h, put, setText } from "../core/h.js";
import { to } from "../core/places.js";
import { namedList } from "../parts/named-list.js";
import { sentenceOf } from "../parts/problems.js";
import { empty } from "../parts/resource.js";
import { named } from "../parts/states.js";
import { tableOf } from "../parts/table.js";
import { dropTarget, fileButton, uploadList } from "../parts/uploads.js";

const TYPES = {
  csv: "text/csv",
  tsv: "text/csv",
  jsonl: "application/x-ndjson",
  ndjson: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
};
const PASTED = "pasted.csv";
const FIELDS = "input, textarea, select, dialog";

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session, format } = app;
  app.title(t("data.title"));
  const quota = h("span", { class: "meta" });
  const uploads = uploadList(app, signal);
  const drop = h("div", { class: "drop" }, t("data.drop"), uploads.element);
  const mayUpload = app.can("submit");

  const list = namedList(app, signal, {
    query,
    fetch: async (asked, until) => {
      const [page, used] = await Promise.all([
        session.get("datasets", asked, until),
        session.get("quota", {}, until),
      ]);
      showQuota(used);
      return page;
    },
    render: (items) => table(app, items),
    none: () => empty(t("data.empty")),
  });

  function showQuota({ used_bytes: used, limit_bytes: limit }) {
    const bytes = { used: format.bytes(used), limit: limit === null ? null : format.bytes(limit) };
    setText(quota, limit === null ? bytes.used : t("data.quota", bytes));
  }

  function start(files) {
    for (const file of files) {
      uploads.start(file, {
        path: "datasets",
        query: { name: file.name },
        type: TYPES[file.name.split(".").at(-1).toLowerCase()] ?? "text/csv",
        checking: t("data.checking"),
        refusal: (problem) =>
          problem.code === "bad_row"
            ? t("data.badrow", { n: format.number(problem.facts.line), detail: problem.facts.reason })
            : sentenceOf(app, problem),
        onDone: ({ name }) => {
          app.notices.toast(t("data.uploaded", { name }));
          list.refresh();
        },
      });
    }
  }

  /** Files, or the cells of a spreadsheet, unless they are pasted into a field. */
  function paste(event) {
    if (event.target.closest(FIELDS)) {
      return;
    }
    const { files } = event.clipboardData;
    const text = event.clipboardData.getData("text/plain");
    if (files.length > 0) {
      start([...files]);
    } else if (text.includes("\n")) {
      start([new File([text], PASTED, { type: TYPES.csv })]);
    }
  }

  if (mayUpload) {
    dropTarget(drop, start);
    document.addEventListener("paste", paste, { signal });
  }
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("data.title")),
      h("span", { class: "spring" }),
      quota,
      mayUpload &&
        fileButton(t("data.upload"), { accept: Object.keys(TYPES).map((one) => `.${one}`) }, start),
    ),
    mayUpload && drop,
    h("section", { class: "panel" }, h("header", null, list.search), list.element),
  );
  await list.refresh();
}

function table(app, items) {
  const { t, format, times } = app;
  return tableOf(
    t("data.title"),
    "list",
    [t("sched.name"), t("data.columns"), t("data.rows"), t("data.bytes"), t("jobs.f.created")],
    items.map((one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, h("a", { href: to(`datasets/${one.dataset_id}`) }, named(one.name))),
        h("td", { class: "number" }, format.number(one.columns.length)),
        h("td", { class: "number" }, format.number(one.rows)),
        h("td", { class: "number" }, format.bytes(one.bytes)),
        h("td", { class: "meta" }, times.moment(one.created_at)),
      ),
    ),
  );
}
