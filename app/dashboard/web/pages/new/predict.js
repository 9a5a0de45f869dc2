// The forms of the jobs that run a model over rows: a prediction, and an evaluation.

import { h, put, set } from "../../core/h.js";
import { field } from "../../parts/forms.js";
import { COMMON, commonFields, others } from "./common.js";
import { dataFields } from "./data.js";
import { columnField } from "./columns.js";

const MAX_SHARDS = 1000;
const SHOWN = [
  "texts",
  "instances",
  "rows",
  "dataset_id",
  "column",
  "model",
  "batch_size",
  "shards",
  "max_failed_shards",
  "target",
];

/** Create the fields of a prediction. */
export function predictFields(app, signal, given) {
  return rowFields(app, signal, given, { sources: ["texts", "rows", "dataset"], rowsMember: "instances" });
}

/** Create the fields of an evaluation: a prediction whose true values are known. */
export function evaluateFields(app, signal, given) {
  return rowFields(app, signal, given, { sources: ["dataset", "rows"], rowsMember: "rows", hasTarget: true });
}

function rowFields(app, signal, given, { sources, rowsMember, hasTarget = false }) {
  const { t, session } = app;
  const column = field(app, { name: "column", label: t("new.column"), value: given.column ?? "" });
  const target = hasTarget ? columnField(app, "target", t("new.target"), given.target) : null;
  const model = field(app, {
    name: "model",
    label: t("new.model"),
    value: given.model ?? (hasTarget ? "" : "sentiment"),
    list: "model-names",
    required: true,
  });
  const names = h("datalist", { id: "model-names" });
  const batch = field(app, {
    name: "batch_size",
    label: t("new.batch"),
    type: "number",
    min: 1,
    max: 10_000,
    value: given.batch_size ?? "",
  });
  const division = hasTarget ? [] : divisionFields(app, given);
  const common = commonFields(app, given);
  const data = dataFields(app, signal, {
    sources,
    given,
    rowsMember,
    onChange: () => {
      showFields();
      target?.offer(data.columns());
    },
  });
  showFields();
  function showFields() {
    column.element.hidden = data.source === "texts";
    for (const one of division) {
      one.element.hidden = data.source !== "dataset";
    }
  }

  const rest = others(given, [...SHOWN, ...COMMON]);
  const own = [...data.fields, column, target, model, batch, ...division].filter(Boolean);
  return {
    fields: [...own, ...common.fields],
    steps: [
      [t("new.data"), [...data.nodes, target?.element, column.element].filter(Boolean)],
      [
        t("new.how"),
        [
          h(
            "div",
            { class: "fields" },
            model.element,
            names,
            batch.element,
            ...division.map((one) => one.element),
          ),
          ...common.nodes,
        ],
      ],
    ],
    ready: Promise.all([data.ready, fillModels(session, names, signal)]),
    body: () => ({
      ...rest,
      ...data.body(),
      ...(data.source !== "texts" && column.value && { column: column.value }),
      ...(target?.value && { target: target.value }),
      ...(model.value && (hasTarget || model.value !== "sentiment") && { model: model.value }),
      ...(batch.value && { batch_size: Number(batch.value) }),
      ...(data.source === "dataset" && numbersOf(division)),
      ...common.body(),
    }),
  };
}

/** The fields of how a prediction is divided. Only the rows of a dataset are, and only to predict. */
function divisionFields(app, given) {
  const { t } = app;
  return [
    field(app, {
      name: "shards",
      label: t("new.shards"),
      type: "number",
      min: 1,
      max: MAX_SHARDS,
      placeholder: t("new.shards.auto"),
      note: t("new.shards.note"),
      value: Number.isInteger(given.shards) ? given.shards : "",
    }),
    field(app, {
      name: "max_failed_shards",
      label: t("new.failed"),
      type: "number",
      min: 0,
      max: MAX_SHARDS,
      placeholder: "0",
      value: given.max_failed_shards ?? "",
    }),
  ];
}

/** The members of a body that these fields give; those that are empty give none. */
function numbersOf(fields) {
  return Object.fromEntries(fields.filter((one) => one.value).map((one) => [one.name, Number(one.value)]));
}

async function fillModels(session, list, signal) {
  const { items } = await session.get("models", { limit: 100 }, signal);
  put(list, ...items.map((one) => set(h("option"), { value: one.name })));
}
