// The predictions of a job: how many of each label, and a table.

import { byId, element } from "./dom.js";
import { measured } from "./event_log.js";

const PAGE_SIZE = 1000; // all that a job with inline texts can have

/** Show what a job has computed, the texts beside it where they are known. More than a page comes on demand. */
export async function showResults(api, job, texts, { signal, onProblem }) {
  const counts = new Map();
  let errors = 0;
  let shown = 0;
  let cursor = null;

  showMetrics(job);
  if (job.kind === "train_model") {
    return; // its rows are its epochs, and the log has told them
  }

  function count({ label, isClass, isError }) {
    errors += isError ? 1 : 0;
    if (isClass) {
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  }

  async function showPage() {
    const page = await api.results(job.job_id, cursor, PAGE_SIZE, signal);
    for (const { input_index: index, ...item } of page.items) {
      const said = saidOf(item);
      count(said);
      byId("predictions").append(row(index, texts?.[index], said));
    }
    cursor = page.next_cursor;
    shown += page.items.length;
    showCounts(counts, errors);
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
  showCounts(new Map(), 0);
}

/** What there is to show of a row: a class, a value, or whatever the model gives; or why there is nothing. */
function saidOf({ prediction, error }) {
  if (error) {
    return { label: "error", isError: true, fault: error.message };
  }
  if (prediction?.label !== undefined) {
    return { label: String(prediction.label), isClass: true, score: prediction.score };
  }
  return { label: JSON.stringify(prediction?.value ?? prediction) };
}

function row(index, text, { label, isClass, isError, score, fault }) {
  const marks = { ...(isClass && { "data-label": label }), ...(isError && { "data-error": "" }) };
  return element(
    "tr",
    {},
    element("td", { class: "number" }, index + 1),
    element("td", { class: "text", dir: "auto" }, text ?? "–", ...(fault ? [element("p", { class: "fault" }, fault)] : [])),
    element("td", {}, element("span", { class: "label", ...marks }, label)),
    element("td", { class: "number" }, score === undefined ? "" : element("data", { value: score }, score.toFixed(2))),
  );
}

function showCounts(counts, errors) {
  const parts = [...counts]
    .sort(([, one], [, other]) => other - one)
    .map(([label, count]) => [label, count, { "data-label": label }]);
  if (errors > 0) {
    parts.push([errors === 1 ? "error" : "errors", errors, { "data-error": "" }]);
  }
  byId("label-counts").replaceChildren(
    ...parts.map(([label, count, marks]) => element("li", marks, element("strong", {}, count), ` ${label}`)),
  );
  byId("label-bar").replaceChildren(
    ...parts.map(([, count, marks]) => {
      const part = element("span", marks);
      part.style.flexGrow = count;
      return part;
    }),
  );
}

/** Of a training or an evaluation: which model it was about, and how good that is. */
function showMetrics({ result, model }) {
  if (result?.metrics) {
    byId("step").textContent = [result.model ?? model, measured(result.metrics)].filter(Boolean).join(" · ");
  }
}

function speed({ result }) {
  if (!result?.rows_per_second) {
    return "";
  }
  return `${result.seconds.toFixed(2)} s, ${Math.round(result.rows_per_second)} rows a second`;
}
