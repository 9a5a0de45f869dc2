// The form of a training: data with its target and features, algorithm with its parameters, and options.

import { h, put } from "../../core/h.js";
import { field, setOptions } from "../../parts/forms.js";
import { jsonField, schemaFields } from "../../parts/schema-form.js";
import { columnField, columnsField } from "./columns.js";
import { COMMON, commonFields, others } from "./common.js";
import { dataFields } from "./data.js";

const NUMBERS = [
  ["epochs", "new.epochs", { min: 1, max: 1000, placeholder: "10" }],
  ["validation_fraction", "new.valid", { min: 0.01, max: 0.9, step: 0.01, placeholder: "0.2" }],
  ["folds", "new.folds", { min: 2, max: 20 }],
  ["seed", "new.seed", { min: 0, placeholder: "0" }],
];
const SHOWN = [
  ...["rows", "dataset_id", "target", "features", "task", "algorithm", "params", "model", "search"],
  ...NUMBERS.map(([name]) => name),
];

/** Create the fields of the form. */
export function trainFields(app, signal, given) {
  const { t, session } = app;
  const target = columnField(app, "target", t("new.target"), given.target);
  const features = columnsField(app, "features", t("new.features"), given.features);
  const task = field(app, {
    name: "task",
    label: t("new.task"),
    options: [
      ["auto", t("new.task.auto")],
      ["classification", t("new.task.class")],
      ["regression", t("new.task.regr")],
    ],
    value: given.task ?? "auto",
  });
  const algorithm = field(app, { name: "algorithm", label: t("new.algorithm"), options: [["auto", "auto"]] });
  const model = field(app, { name: "model", label: t("new.name"), value: given.model ?? "" });
  const numbers = NUMBERS.map(([name, label, limits]) =>
    field(app, { name, label: t(label), type: "number", value: given[name] ?? "", ...limits }),
  );
  const search = jsonField(app, {
    name: "search",
    label: t("new.search"),
    value: given.search === undefined ? "" : JSON.stringify(given.search, null, 2),
  });
  const common = commonFields(app, given);
  const about = h("p", { class: "meta" });
  const paramBox = h("div", { class: "fields" });
  const data = dataFields(app, signal, {
    sources: ["dataset", "rows"],
    given,
    rowsMember: "rows",
    onChange: () => showColumns(),
  });
  const rest = others(given, [...SHOWN, ...COMMON]);
  let params = { fields: [], values: () => ({}) };
  let algorithms = [];
  let isReady = false;

  function showColumns() {
    target.offer(data.columns());
    features.offer(data.columns(), target.value);
  }

  function showParams() {
    const found = algorithms.find((one) => one.name === algorithm.value);
    about.textContent = found?.sentence ?? "";
    const isGiven = (given.algorithm ?? "auto") === algorithm.value;
    params = schemaFields(app, found?.params ?? {}, isGiven ? (given.params ?? {}) : {});
    put(paramBox, ...params.fields.map((one) => one.element));
  }

  target.input.addEventListener("change", showColumns, { signal });
  algorithm.input.addEventListener("change", showParams, { signal });
  const ready = Promise.all([data.ready, session.get("algorithms", {}, signal)]).then(([, { items }]) => {
    algorithms = items;
    setOptions(algorithm.input, [
      ["auto", "auto"],
      ...items.filter((one) => one.name !== "auto").map((one) => [one.name, one.name.replaceAll("_", " ")]),
    ]);
    algorithm.input.value = items.some((one) => one.name === given.algorithm) ? given.algorithm : "auto";
    isReady = true;
    showParams();
  });

  return {
    get fields() {
      const own = [...data.fields, target, task, algorithm, model, ...numbers, search, ...params.fields];
      return [...own, ...common.fields];
    },
    steps: [
      [t("new.data"), [...data.nodes, target.element, features.element]],
      [
        t("new.how"),
        [
          h("div", { class: "fields" }, ...[model, task, algorithm, ...numbers].map((one) => one.element)),
          about,
          paramBox,
          h("details", { class: "more-options" }, h("summary", null, t("new.search")), search.element),
          ...common.nodes,
        ],
      ],
    ],
    ready,
    body: () => {
      const own = isReady ? params.values() : (given.params ?? {});
      const chosen = isReady ? algorithm.value : (given.algorithm ?? "auto");
      return {
        ...rest,
        ...data.body(),
        ...(target.value && { target: target.value }),
        ...(features.value !== null && { features: features.value }),
        ...(task.value !== "auto" && { task: task.value }),
        ...(chosen !== "auto" && { algorithm: chosen }),
        ...(Object.keys(own).length > 0 && { params: own }),
        ...(model.value && { model: model.value }),
        ...Object.fromEntries(
          numbers.filter((one) => one.value !== "").map((one) => [one.name, Number(one.value)]),
        ),
        ...(search.parsed() !== undefined && { search: search.parsed() }),
        ...common.body(),
      };
    },
  };
}
