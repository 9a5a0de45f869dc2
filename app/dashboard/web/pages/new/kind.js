// The form of any other kind: fields from the schema of its request.

import { h } from "../../core/h.js";
import { field } from "../../parts/forms.js";
import { schemaFields } from "../../parts/schema-form.js";
import { COMMON, commonFields, fillDatasets, others } from "./common.js";

// Members that no field is for: the page sets them, or a field for another member stands for them.
const LEFT_OUT = ["profile", "resubmitted_from", "dataset", "dataset_id"];

/** Create the fields of a kind, as `GET /kinds` describes it. */
export function kindFields(app, signal, given, kind) {
  const { t, session } = app;
  const schema = kind.request;
  const hasDataset = schema.properties?.dataset_id !== undefined;
  const dataset = hasDataset
    ? field(app, { name: "dataset_id", label: t("new.dataset"), options: [["", "–"]] })
    : null;
  let isLoaded = false;
  const own = schemaFields(app, schema, given, { prefix: "", skip: [...COMMON, ...LEFT_OUT] });
  const common = commonFields(app, given, kind.queue);
  const shown = own.fields.map((one) => one.key);
  const rest = others(given, [...shown, ...COMMON, "dataset_id"]);
  const isNeeded = (one) => (schema.required ?? []).includes(one.key);
  const needed = own.fields.filter(isNeeded);
  const optional = own.fields.filter((one) => !isNeeded(one));
  const data = [dataset, ...needed].filter(Boolean);
  return {
    fields: [...data, ...optional, ...common.fields],
    steps: [
      data.length > 0 && [t("new.data"), data.map((one) => one.element)],
      [t("new.how"), [h("div", { class: "fields" }, ...optional.map((one) => one.element)), ...common.nodes]],
    ].filter(Boolean),
    ready: hasDataset
      ? fillDatasets(session, dataset.input, given.dataset_id, signal).then(() => (isLoaded = true))
      : Promise.resolve(),
    body: () => {
      const id = isLoaded ? dataset?.value : given.dataset_id;
      return { ...rest, ...(id && { dataset_id: id }), ...own.values(), ...common.body() };
    },
  };
}
