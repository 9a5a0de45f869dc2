// The predictions of a job: how many of each label, and a table.

import { byId, element } from "./dom.js";

const PAGE_SIZE = 1000; // all that a job with inline texts can have

/** Show what a job has computed, the texts beside it where they are known. More than a page comes on demand. */
export async function showResults(api, job, texts, { signal, onProblem }) {
  const counts = new Map();
  let shown = 0;
  let cursor = null;

  async function showPage() {
    const page = await api.results(job.job_id, cursor, PAGE_SIZE, signal);
    for (const { input_index: index, prediction } of page.items) {
      const label = labelOf(prediction);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      byId("predictions").append(row(index, texts?.[index], label, prediction?.score));
    }
    cursor = page.next_cursor;
    shown += page.items.length;
    showCounts(counts);
    byId("figures").textContent = [cursor && `the first ${shown}`, speed(job)].filter(Boolean).join(" · ");
    byId("more").hidden = cursor === null;
    byId("results").hidden = shown === 0;
  }

  byId("more").onclick = async () => {
    byId("more").disabled = true; // until it is there: a second click must not show it twice
    await showPage().catch(onProblem);
    byId("more").disabled = false;
  };
  await showPage();
}

/** Show nothing. */
export function clearResults() {
  byId("results").hidden = true;
  byId("more").onclick = null;
  byId("predictions").replaceChildren();
  showCounts(new Map());
}

function labelOf(prediction) {
  return String(prediction?.label ?? prediction?.value ?? JSON.stringify(prediction));
}

function row(index, text, label, score) {
  return element(
    "tr",
    {},
    element("td", { class: "number" }, index + 1),
    element("td", { class: "text", dir: "auto" }, text ?? "–"),
    element("td", {}, element("span", { class: "label", "data-label": label }, label)),
    element("td", { class: "number" }, score === undefined ? "" : element("data", { value: score }, score.toFixed(2))),
  );
}

function showCounts(counts) {
  const byCount = [...counts].sort(([, one], [, other]) => other - one);
  byId("label-counts").replaceChildren(
    ...byCount.map(([label, count]) =>
      element("li", { "data-label": label }, element("strong", {}, count), ` ${label}`),
    ),
  );
  byId("label-bar").replaceChildren(
    ...byCount.map(([label, count]) => {
      const part = element("span", { "data-label": label });
      part.style.flexGrow = count;
      return part;
    }),
  );
}

function speed({ result }) {
  if (!result?.rows_per_second) {
    return "";
  }
  return `${result.seconds.toFixed(2)} s, ${Math.round(result.rows_per_second)} rows a second`;
}
