// One version: metrics, curves, confusion matrix, lineage, parameters, and a box to try it.

import { download } from "../../api/download.js";
import { h } from "../../core/h.js";
import { to } from "../../core/places.js";
import { epochCurves } from "../../parts/epoch-curves.js";
import { icon } from "../../parts/icons.js";
import { json } from "../../parts/json.js";
import { metricTable } from "../../parts/metrics.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { confusionMatrix } from "./confusion.js";
import { description } from "./describe.js";
import { tryIt } from "./try-it.js";

/** Describe a version as panels. All that they start ends with the signal. */
export function describeVersion(app, signal, { one, path, owner, isOwn, onChanged, onDelete }) {
  const { t } = app;
  const mayChange = isOwn && app.can("submit");
  const quality = h("div", { hidden: one.links.history === null });
  const lineage = h("div");
  if (one.links.history !== null) {
    measured(app, signal, quality, path).refresh();
  }
  chain(app, signal, lineage, one).refresh();
  return [
    h(
      "section",
      { class: "panel step" },
      head(app, { one, path, owner, mayChange, onDelete }),
      description(app, signal, { one, path: mayChange ? path : null, onChanged }),
      Object.keys(one.metrics).length > 0 && metricTable(app, one.metrics),
      one.classes !== null &&
        h("p", { class: "meta", dir: "auto" }, `${t("models.classes")}: ${one.classes.join(", ")}`),
      one.columns !== null &&
        h(
          "p",
          { class: "meta", dir: "auto" },
          `${t("new.features")}: ${one.columns.map((column) => `${column.name} (${column.type})`).join(", ")}`,
        ),
      h(
        "details",
        null,
        h("summary", null, t("new.params")),
        json(app, { params: one.params, lineage: one.lineage, library_versions: one.library_versions }),
      ),
    ),
    h("section", { class: "panel" }, h("header", null, h("h2", null, t("models.lineage"))), lineage),
    quality,
    app.can("submit") &&
      h(
        "section",
        { class: "panel" },
        h("header", null, h("h2", null, t("models.try"))),
        tryIt(app, signal, one),
      ),
  ];
}

function head(app, { one, path, owner, mayChange, onDelete }) {
  const { t, session, format } = app;
  const query = owner === null ? "" : `?owner=${encodeURIComponent(owner)}`;
  const save = () => download(session, `/${path}/artifact${query}`).catch((problem) => app.fail(problem));
  return h(
    "header",
    null,
    h("h2", null, named(`${one.name}@${one.version}`)),
    h(
      "span",
      { class: "meta" },
      [one.runtime, one.task, one.bytes > 0 && format.bytes(one.bytes)].filter(Boolean).join(" · "),
    ),
    h("span", { class: "spring" }),
    one.links.artifact !== null &&
      h(
        "button",
        { type: "button", class: "plain-button", onclick: save },
        icon("download"),
        t("act.download"),
      ),
    mayChange &&
      one.lineage?.job_id &&
      app.can("submit") &&
      h("a", { href: to("new", { from: one.lineage.job_id }), class: "button" }, t("act.train.again")),
    mayChange &&
      h("button", { type: "button", class: "quiet", onclick: onDelete }, t("models.delete.version")),
  );
}

/** What the training has measured: the curves over its epochs, and which classes it takes for which. */
function measured(app, signal, element, path) {
  const { t, session } = app;
  const curves = epochCurves(app, signal);
  return resource(app, element, {
    signal,
    fetch: (until) =>
      Promise.all([session.get(`${path}/history`, {}, until), session.get(`${path}/report`, {}, until)]),
    render: ([{ items }, { classification }]) => {
      curves.update(items);
      const matrix = classification?.confusion_matrix;
      return [
        items.length > 0 &&
          h(
            "section",
            { class: "panel step" },
            h("header", null, h("h2", null, t("job.tab.curves"))),
            curves.element,
            curves.table,
          ),
        matrix &&
          h(
            "section",
            { class: "panel" },
            h("header", null, h("h2", null, t("models.confusion"))),
            confusionMatrix(app, matrix),
          ),
      ];
    },
  });
}

/** Where the version comes from and what uses it, as a chain: dataset, job, version, jobs. */
function chain(app, signal, element, one) {
  const { words, session, format } = app;
  const { dataset_id: datasetId, dataset_sha256: digest, job_id: jobId } = one.lineage ?? {};
  return resource(app, element, {
    signal,
    skeleton: 2,
    fetch: (until) =>
      Promise.all([
        datasetId ? session.get(`datasets/${datasetId}`, {}, until).catch(unlessGone) : null,
        session.get("jobs/counts", { model: one.model }, until),
      ]),
    render: ([dataset, { all }]) =>
      h(
        "ol",
        { class: "chain" },
        datasetId &&
          h(
            "li",
            null,
            ...words.nodes("models.lineage.data", {
              name:
                dataset === null ? "–" : h("a", { href: to(`datasets/${datasetId}`) }, named(dataset.name)),
              digest: h("span", { class: "mono" }, `${(digest ?? "").slice(0, 12)}…`),
            }),
          ),
        jobId &&
          h(
            "li",
            null,
            ...words.nodes("models.lineage.job", {
              job: h("a", { href: to(`jobs/${jobId}`), class: "mono" }, jobId.slice(0, 8)),
            }),
          ),
        h("li", null, h("strong", null, named(one.model))),
        h(
          "li",
          null,
          h(
            "a",
            { href: to("jobs", { model: one.model }) },
            words.count("models.lineage.used", all, format.capped(all)),
          ),
        ),
      ),
  });
}

function unlessGone(problem) {
  if (problem.status !== 404) {
    throw problem;
  }
  return null;
}
