// Two versions of a model side by side: parameters, metrics, curves, and their predictions for the same rows.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { overlaidCurves } from "../../parts/epoch-curves.js";
import { setOptions } from "../../parts/forms.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";
import { predictionsOf } from "./same-rows.js";

const LOWER_IS_BETTER = new Set(["log_loss", "rmse", "mae"]);

/** Open the page. */
export async function open(root, { name, query }, signal, app) {
  const { t, session } = app;
  app.title(`${t("models.compare")}: ${name}`);
  const path = `models/${encodeURIComponent(name)}`;
  const owner = query.get("owner");
  const chosen = { a: Number(query.get("a")) || null, b: Number(query.get("b")) || null };
  const picks = { a: pick("a"), b: pick("b") };
  const body = h("div");
  let shown = new AbortController();
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, `${t("models.compare")}: `, h("a", { href: to(path, { owner }) }, named(name))),
      h("span", { class: "spring" }),
      h("div", { class: "row", role: "group", "aria-label": t("models.compare.two") }, picks.a, picks.b),
    ),
    body,
  );

  const both = resource(app, body, {
    signal,
    fetch: async (until) => {
      const { items } = await session.get(`${path}/versions`, { limit: 100, owner }, until);
      offer(items.map((one) => one.version));
      return await Promise.all(
        [chosen.a, chosen.b].map(async (number) => {
          const one = await session.get(`${path}/versions/${number}`, { owner }, until);
          const history =
            one.links.history === null
              ? []
              : (await session.get(`${path}/versions/${number}/history`, {}, until)).items;
          return { ...one, history };
        }),
      );
    },
    render: (pair) => {
      shown.abort();
      shown = new AbortController();
      return compared(app, AbortSignal.any([signal, shown.signal]), pair);
    },
  });

  function pick(which) {
    const select = h("select", { "aria-label": `${t("models.version")} ${which.toUpperCase()}` });
    select.addEventListener("change", () => {
      chosen[which] = Number(select.value);
      app.navigator.setQuery({ a: chosen.a, b: chosen.b, owner });
      both.refresh();
    });
    return select;
  }

  /** Offer the versions; without a choice in the address, the two newest. */
  function offer(numbers) {
    chosen.b ??= numbers[0];
    chosen.a ??= numbers.find((one) => one !== chosen.b) ?? chosen.b;
    for (const [which, select] of Object.entries(picks)) {
      const all = [...new Set([...numbers, chosen[which]])];
      setOptions(
        select,
        all.map((one) => [String(one), `${t("models.version")} ${app.format.number(one)}`]),
      );
      select.value = String(chosen[which]);
    }
  }

  await both.refresh();
}

function compared(app, signal, [a, b]) {
  const { t } = app;
  const curves = overlaidCurves(app, signal);
  const histories = [a, b].filter((one) => one.history.length > 0);
  if (histories.length > 0) {
    curves.update(histories.map((one) => [`${t("models.version")} ${one.version}`, one.history]));
  }
  return [
    h(
      "section",
      { class: "panel" },
      h("header", null, h("h2", null, t("models.compare.params"))),
      parameters(app, a, b),
    ),
    h(
      "section",
      { class: "panel" },
      h("header", null, h("h2", null, t("models.metrics"))),
      metrics(app, a, b),
    ),
    histories.length > 0 &&
      h(
        "section",
        { class: "panel step" },
        h("header", null, h("h2", null, t("job.tab.curves"))),
        curves.element,
      ),
    app.can("submit") && predictionsOf(app, signal, a, b),
  ];
}

/** The parameters that differ, then, folded, the others. */
function parameters(app, a, b) {
  const { t } = app;
  const all = factsOf(a, b);
  const differing = all.filter(([, one, other]) => one !== other);
  const same = all.filter(([, one, other]) => one === other);
  return [
    differing.length === 0
      ? h("p", { class: "quiet-line" }, t("models.compare.same"))
      : pairs(app, t("models.compare.params"), a, b, differing),
    same.length > 0 &&
      h(
        "details",
        null,
        h("summary", null, t("models.compare.equal", { n: app.format.number(same.length) })),
        pairs(app, t("models.compare.equal", { n: app.format.number(same.length) }), a, b, same),
      ),
  ];
}

/** What one may compare: the parameters, and what the version was trained from, as texts. */
function factsOf(a, b) {
  const facts = ({ params, lineage, runtime, task, history }) => ({
    runtime,
    task,
    ...params,
    ...(history.length > 0 && { epochs: history.at(-1).epoch }),
    ...Object.fromEntries(
      ["seed", "target", "dataset_id", "source"]
        .filter((key) => (lineage?.[key] ?? null) !== null)
        .map((key) => [key, lineage[key]]),
    ),
  });
  const [one, other] = [facts(a), facts(b)];
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].map((key) => [
    key,
    said(one[key]),
    said(other[key]),
  ]);
}

function pairs(app, caption, a, b, rows) {
  return tableOf(
    caption,
    "data",
    [app.t("sched.name"), named(a.model), named(b.model)],
    rows.map(([key, one, other]) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, key.replaceAll("_", " ")),
        h("td", { dir: "auto" }, one),
        h("td", { dir: "auto" }, other),
      ),
    ),
  );
}

function metrics(app, a, b) {
  const { t, format } = app;
  const names = [...new Set([...Object.keys(a.metrics), ...Object.keys(b.metrics)])].filter((name) =>
    [a, b].some((one) => typeof one.metrics[name] === "number"),
  );
  if (names.length === 0) {
    return h("p", { class: "quiet-line" }, t("models.metrics.none"));
  }
  return tableOf(
    t("models.metrics"),
    "data",
    [t("sched.name"), named(a.model), named(b.model), t("models.compare.difference")],
    names.map((name) => {
      const [one, other] = [a.metrics[name], b.metrics[name]];
      const isMeasured = typeof one === "number" && typeof other === "number";
      return h(
        "tr",
        null,
        h("th", { scope: "row" }, name.replaceAll("_", " ")),
        ...[one, other].map((value) =>
          h("td", { class: "number" }, typeof value === "number" ? format.value(value) : "–"),
        ),
        h("td", { class: "number" }, isMeasured ? difference(app, name, other - one) : "–"),
      );
    }),
  );
}

/** The difference with its sign, and whether the second version is better by it. Counts are neither. */
function difference({ t, format }, name, value) {
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  const text = `${sign}${format.value(Math.abs(value))}`;
  if (value === 0 || name.endsWith("rows") || name === "epochs") {
    return text;
  }
  const isBetter = value > 0 !== LOWER_IS_BETTER.has(name);
  return [
    text,
    " ",
    h("span", { class: `tag ${isBetter ? "ok" : "bad"}` }, t(isBetter ? "models.better" : "models.worse")),
  ];
}

function said(value) {
  if (value === undefined || value === null) {
    return "–";
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
