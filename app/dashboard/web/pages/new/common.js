// Fields that several kinds of jobs have.

import { h } from "../../core/h.js";
import { field, setOptions } from "../../parts/forms.js";
import { fromField, toField } from "../schedules/instants.js";

const PRIORITIES = ["low", "normal", "high", "critical"];

// Options that are numbers, each with the key of its label.
const NUMBERS = [
  ["max_attempts", "new.attempts", { min: 1, max: 100, placeholder: "3" }],
  ["soft_limit_seconds", "new.soft", { min: 1, max: 86_400 }],
  ["time_limit_seconds", "new.hard", { min: 1, max: 86_400 }],
  ["expires_in_seconds", "new.expires", { min: 1 }],
];
const IN_SECONDS = ["expires_in_seconds"];

/** The members of a body that all kinds have, and that these fields are for. */
export const COMMON = [
  "priority",
  "queue",
  "resources",
  "delay_seconds",
  "run_at",
  ...NUMBERS.map(([name]) => name),
  "metadata",
];

/** The options of every kind of job. `given` is a body, or a part of one. */
export function commonFields(app, given, queueOfKind = "default") {
  const { t } = app;
  const priority = field(app, {
    name: "priority",
    label: t("jobs.f.priority"),
    options: PRIORITIES.map((name) => [name, t(`priority.${name}`)]),
    value: given.priority ?? "normal",
  });
  const queue = field(app, {
    name: "queue",
    label: t("jobs.f.queue"),
    value: given.queue ?? "",
    placeholder: queueOfKind,
  });
  const gpus = field(app, {
    name: "resources.gpus",
    label: t("new.gpus"),
    type: "number",
    value: given.resources?.gpus ?? "",
    min: 0,
    max: 8,
    placeholder: "0",
  });
  const numbers = NUMBERS.map(([name, label, limits]) =>
    field(app, {
      name,
      label: t(label),
      type: "number",
      value: given[name] ?? "",
      note: IN_SECONDS.includes(name) ? t("job.curves.seconds") : null,
      ...limits,
    }),
  );
  const metadata = field(app, {
    name: "metadata",
    label: t("new.meta"),
    rows: 2,
    value: Object.entries(given.metadata ?? {})
      .map((pair) => pair.join("="))
      .join("\n"),
    placeholder: `${t("new.meta.key")}=${t("new.meta.value")}`,
    spellcheck: "false",
  });
  const when = startFields(app, given);
  const [attempts, ...rest] = numbers;
  return {
    fields: [priority, queue, ...when.fields, gpus, ...numbers, metadata],
    nodes: [
      h("div", { class: "fields" }, ...[priority, queue, ...when.fields, attempts].map((one) => one.element)),
      h(
        "details",
        { class: "more-options" },
        h("summary", null, t("new.more")),
        h("div", { class: "fields" }, ...[gpus, ...rest].map((one) => one.element)),
        metadata.element,
      ),
    ],
    body: () => ({
      ...(priority.value !== "normal" && { priority: priority.value }),
      ...(queue.value && { queue: queue.value }),
      ...when.body(),
      ...(Number(gpus.value) > 0 && { resources: { gpus: Number(gpus.value) } }),
      ...Object.fromEntries(
        numbers.filter((one) => one.value !== "").map((one) => [one.name, Number(one.value)]),
      ),
      ...(metadata.value.trim() && { metadata: pairsOf(metadata.value) }),
    }),
  };
}

/** When the job starts: at once, after a delay, or at a time. */
function startFields(app, given) {
  const { t } = app;
  const when = field(app, {
    name: "when",
    label: t("new.when"),
    options: ["now", "after", "at"].map((one) => [one, t(`new.when.${one}`)]),
    value: given.run_at ? "at" : given.delay_seconds > 0 ? "after" : "now",
  });
  const delay = field(app, {
    name: "delay_seconds",
    label: t("new.when.after"),
    type: "number",
    min: 0,
    required: true,
    note: t("job.curves.seconds"),
    value: given.delay_seconds ?? "",
  });
  const at = field(app, {
    name: "run_at",
    label: t("new.when.at"),
    type: "datetime-local",
    required: true,
    value: toField(app, given.run_at),
  });
  const show = () => {
    delay.element.hidden = when.value !== "after";
    at.element.hidden = when.value !== "at";
  };
  when.input.addEventListener("change", show);
  show();
  return {
    fields: [when, delay, at],
    body: () => ({
      ...(when.value === "after" && delay.value !== "" && { delay_seconds: Number(delay.value) }),
      ...(when.value === "at" && at.value !== "" && { run_at: fromField(app, at.value) }),
    }),
  };
}

function pairsOf(text) {
  const pairs = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  return Object.fromEntries(
    pairs.map((line) => {
      const [key, ...value] = line.split("=");
      return [key.trim(), value.join("=").trim()];
    }),
  );
}

/** The members of a body that are not among these names. */
export function others(body, names) {
  return Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)));
}

/** Offer the newest datasets, and the one that is chosen. */
export async function fillDatasets(session, select, chosen, signal) {
  const { items } = await session.get("datasets", { limit: 100 }, signal);
  if (chosen && !items.some((one) => one.dataset_id === chosen)) {
    items.push(await older(session, chosen, signal));
  }
  setOptions(select, [["", "–"], ...items.map((one) => [one.dataset_id, one.name])]);
  if (chosen) {
    select.value = chosen;
  }
  return items;
}

/** A dataset that is not among the newest; of one that is gone, the id. */
async function older(session, id, signal) {
  try {
    return await session.get(`datasets/${encodeURIComponent(id)}`, {}, signal);
  } catch (problem) {
    if (problem.status !== 404 && problem.status !== 422) {
      throw problem;
    }
    return { dataset_id: id, name: id, columns: [] };
  }
}
