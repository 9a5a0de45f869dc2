// What to show of the results: filters, and how many rows have which label once the job has ended.

import { h, put } from "../../core/h.js";

const TYPING_MILLISECONDS = 400;
const SHOWN_LABELS = 12;

/** Create the filters of the results, and their summary: `{element, counts, …}`. `onChange` follows each change. */
export function resultFilters(app, signal, { onChange }) {
  const { t } = app;
  const label = h("select", { "aria-label": t("job.results.label") });
  const below = h("input", { type: "number", step: "any", class: "short" });
  const errors = h("input", { type: "checkbox" });
  const clear = h("button", { type: "button", class: "quiet", hidden: true }, t("empty.filter.clear"));
  const counts = h("div", { class: "label-counts" });
  const bound = h("label", { class: "check" }, ...app.words.nodes("job.results.low", { n: below }));
  const element = h(
    "div",
    { class: "result-filters row" },
    label,
    bound,
    h("label", { class: "check" }, errors, t("job.results.errors")),
    clear,
  );
  let typing = null;
  let summary = null;
  let asked = null;

  const filters = () => ({
    label: label.value || null,
    below: below.value === "" || below.validity.badInput ? null : below.value,
    errors: errors.checked ? "true" : null,
  });
  const isSet = () => Object.values(filters()).some((one) => one !== null);

  function changed() {
    clear.hidden = !isSet();
    show();
    onChange();
  }
  below.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(changed, TYPING_MILLISECONDS);
  });
  signal.addEventListener("abort", () => clearTimeout(typing), { once: true });
  label.addEventListener("change", changed);
  errors.addEventListener("change", changed);
  clear.addEventListener("click", () => {
    Object.assign(label, { value: "" });
    Object.assign(below, { value: "" });
    errors.checked = false;
    changed();
  });

  /** The labels, with how many rows have each: all of them once they were counted, else those that were seen. */
  function offer(labels) {
    const { value } = label;
    const known = [...new Set([...labels, ...(value === "" ? [] : [value])])];
    put(
      label,
      h("option", { value: "" }, `${t("job.results.label")}: ${t("jobs.f.any")}`),
      ...known.map((one) => h("option", { value: one }, one)),
    );
    label.value = value;
  }

  function show() {
    if (summary === null) {
      put(counts);
      return;
    }
    const { format } = app;
    const all = Object.entries(summary.labels);
    const entry = (text, count, isBad = false) =>
      h(
        "li",
        { class: isBad ? "bad" : null },
        h("bdi", { title: text }, text),
        h("span", { class: "meter" }, h("span", { class: "fill", vars: { share: count / summary.rows } })),
        h("span", { class: "number" }, format.number(count)),
        h("span", { class: "number meta" }, format.percent(count / summary.rows, 1)),
      );
    put(
      counts,
      h(
        "ul",
        { "aria-label": t("job.results.summary") },
        ...all.slice(0, SHOWN_LABELS).map(([text, count]) => entry(text, count)),
        all.length > SHOWN_LABELS &&
          entry(
            t("job.results.more", { n: format.number(all.length - SHOWN_LABELS) }),
            all.slice(SHOWN_LABELS).reduce((sum, [, count]) => sum + count, 0),
          ),
        all.length > 0 && summary.others > 0 && entry(t("job.results.others"), summary.others),
        summary.errors > 0 && entry(t("job.results.errors"), summary.errors, true),
      ),
    );
  }

  offer([]);
  return {
    element,
    counts,
    filters,
    isSet,
    /** Follow the job: what may be filtered, and, when it has ended, its summary. */
    async update(job, seen) {
      element.hidden = job.done === 0;
      const labels = seen.map((row) => row.prediction?.label).filter((one) => typeof one === "string");
      const isClass = labels.length > 0 || Object.keys(summary?.labels ?? {}).length > 0;
      label.hidden = seen.length > 0 && !isClass;
      bound.hidden = label.hidden && seen.every((row) => typeof row.prediction?.score !== "number");
      offer(summary === null ? labels.toSorted() : Object.keys(summary.labels));
      const ended = `${job.status}${job.attempt}${job.done}`;
      if (job.done === 0 || !["completed", "failed", "cancelled"].includes(job.status) || asked === ended) {
        return;
      }
      asked = ended;
      try {
        summary = await app.session.json("GET", `jobs/${job.job_id}/results/summary`, {
          signal,
          timeout: 300_000,
        });
      } catch (problem) {
        if (problem.status === undefined && !signal.aborted) {
          throw problem;
        }
        return; // without it, the results are still there
      }
      if (summary.rows > 0) {
        offer(Object.keys(summary.labels));
        show();
      }
    },
  };
}
