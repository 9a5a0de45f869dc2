// The models that one may use, with their versions, aliases and scores, and uploads of new ones.

import { spark } from "../charts/spark.js";
import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { namedList } from "../parts/named-list.js";
import { empty } from "../parts/resource.js";
import { named } from "../parts/states.js";
import { tableOf } from "../parts/table.js";
import { uploadList } from "../parts/uploads.js";
import { askForFile } from "./model/upload.js";

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session } = app;
  app.title(t("models.title"));
  const uploads = uploadList(app, signal);
  const list = namedList(app, signal, {
    query,
    fetch: (asked, until) => session.get("models", { ...asked, include: "scores" }, until),
    render: (items) => [table(app, items), items.every((one) => one.is_built_in) && empty(t("models.empty"))],
    none: () => empty(t("models.empty")),
  });
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("models.title")),
      h("span", { class: "spring" }),
      app.can("submit") &&
        h(
          "button",
          {
            type: "button",
            class: "primary",
            onclick: () => askForFile(app, uploads, { signal, onDone: list.refresh }),
          },
          t("models.upload"),
        ),
    ),
    uploads.element,
    h("section", { class: "panel" }, h("header", null, list.search), list.element),
  );
  await list.refresh();
}

/** The owner to name in an address: of a model that another user has published. */
export function ownerOf(one) {
  return one.is_own || one.is_built_in ? null : one.owner;
}

function table(app, items) {
  const { t, words, format, times } = app;
  return tableOf(
    t("models.title"),
    "list models",
    [t("sched.name"), t("models.versions.head"), t("models.alias"), t("models.score"), t("jobs.f.created")],
    items.map((one) =>
      h(
        "tr",
        null,
        h(
          "th",
          { scope: "row" },
          h(
            "a",
            { href: to(`models/${encodeURIComponent(one.name)}`, { owner: ownerOf(one) }) },
            named(one.name),
          ),
          " ",
          one.is_built_in && h("span", { class: "tag" }, t("models.builtin")),
          one.visibility === "public" && !one.is_built_in && h("span", { class: "tag" }, t("models.public")),
          Object.entries(one.tags).map(([key, value]) => [
            " ",
            h("span", { class: "tag" }, named(`${key}=${value}`, { max: 24 })),
          ]),
        ),
        h(
          "td",
          { class: "number" },
          words.count("models.versions", one.versions, format.number(one.versions)),
        ),
        h(
          "td",
          null,
          Object.entries(one.aliases).map(([alias, version]) => [
            h("span", { class: "tag" }, named(alias, { max: 24 }), ` → ${format.number(version)}`),
            " ",
          ]),
        ),
        h("td", null, score(app, one.scores)),
        h("td", { class: "meta" }, one.created_at && times.moment(one.created_at)),
      ),
    ),
  );
}

function score({ t, format }, scores) {
  if (scores === null || scores === undefined) {
    return null;
  }
  const [first, last] = [scores.versions[0], scores.versions.at(-1)];
  const metric = scores.metric.replaceAll("_", " ");
  const said = t("models.score.said", {
    metric,
    a: format.number(first.version),
    b: format.number(last.version),
    value: format.value(last.value),
  });
  return h(
    "span",
    { class: "score-line", title: said },
    spark(
      scores.versions.map((one) => one.value),
      said,
    ),
    h("span", { class: "number" }, format.value(last.value)),
    h("span", { class: "meta" }, metric),
  );
}
