// A job's predictions: a count per label, and a table.

import { byId, createElement } from "./dom.js";
import { formatMetrics } from "./event_log.js";

const PAGE_SIZE = 1000; // the maximum number of inline texts, so such a job has one page

/** Show the first page of a job's predictions, with the texts if they are known. "Show more" loads the next. */
export async function showResults(api, job, texts, { signal, onProblem }) {
  const counts = new Map();
  let errors = 0;
  let shown = 0;
  let cursor = null;

  showMetrics(job);
  if (job.kind === "train_model") {
    return; // its result rows are epochs, which the event log already shows
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
      const outcome = toOutcome(item);
      count(outcome);
      byId("predictions").append(createRow(index, texts?.[index], outcome));
    }
    cursor = page.next_cursor;
    shown += page.items.length;
    showCounts(counts, errors);
    byId("figures").textContent = [cursor && `first ${shown} rows`, formatSpeed(job)].filter(Boolean).join(" · ");
    byId("more").hidden = cursor === null;
    byId("results").hidden = shown === 0;
  }

  byId("more").onclick = async () => {
    byId("more").disabled = true; // while the page loads, so that a second click does not load it twice
    await showPage().catch(onProblem);
    byId("more").disabled = false;
  };
  await showPage();
}

/** Hide the results. */
export function clearResults() {
  byId("results").hidden = true;
  byId("more").onclick = null;
  byId("predictions").replaceChildren();
  showCounts(new Map(), 0);
}

/** Convert a result row to what is displayed: a class with its score, a value, or an error message. */
function toOutcome({ prediction, error }) {
  if (error) {
    return { label: "error", isError: true, errorMessage: error.message };
  }
  if (prediction?.label !== undefined) {
    return { label: String(prediction.label), isClass: true, score: prediction.score };
  }
  return { label: JSON.stringify(prediction?.value ?? prediction) };
}

function createRow(index, text, { label, isClass, isError, score, errorMessage }) {
  const attributes = { ...(isClass && { "data-label": label }), ...(isError && { "data-error": "" }) };
  const errors = errorMessage ? [createElement("p", { class: "fault" }, errorMessage)] : [];
  const scoreCell = score === undefined ? "" : createElement("data", { value: score }, score.toFixed(2));
  return createElement(
    "tr",
    {},
    createElement("td", { class: "number" }, index + 1),
    createElement("td", { class: "text", dir: "auto" }, text ?? "–", ...errors),
    createElement("td", {}, createElement("span", { class: "label", ...attributes }, label)),
    createElement("td", { class: "number" }, scoreCell),
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
    ...parts.map(([label, count, attributes]) =>
      createElement("li", attributes, createElement("strong", {}, count), ` ${label}`),
    ),
  );
  byId("label-bar").replaceChildren(
    ...parts.map(([, count, attributes]) => {
      const segment = createElement("span", attributes);
      segment.style.flexGrow = count;
      return segment;
    }),
  );
}

/** Show the model and the metrics of a training or an evaluation. */
function showMetrics({ result, model }) {
  if (result?.metrics) {
    byId("step").textContent = [result.model ?? model, formatMetrics(result.metrics)].filter(Boolean).join(" · ");
  }
}

function formatSpeed({ result }) {
  if (!result?.rows_per_second) {
    return "";
  }
  return `${result.seconds.toFixed(2)} s, ${Math.round(result.rows_per_second)} rows/s`;
}
