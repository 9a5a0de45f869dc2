// A box to try a version: rows in, their predictions out.

import { h, put } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { json } from "../../parts/json.js";
import { rowsIn } from "../../parts/typed-rows.js";

/** Whether a version predicts from one text. */
export function takesText({ columns }) {
  return columns === null || (columns.length === 1 && columns[0].type === "text");
}

/** Create the form, with the answer below it. */
export function tryIt(app, signal, one) {
  const { t, session } = app;
  const isText = takesText(one);
  const input = field(app, {
    name: "input",
    label: t(isText ? "models.try.text" : "new.rows"),
    rows: 3,
    required: true,
    value: isText
      ? ""
      : JSON.stringify(
          Object.fromEntries(one.columns.map((column) => [column.name, column.type === "number" ? 0 : ""])),
        ),
  });
  const answer = h("div");
  const body = form(app, signal, {
    fields: [input],
    action: t("models.try.go"),
    send: async (values) => {
      const { rows, fault } = isText ? { rows: [values.input], fault: null } : rowsIn(values.input);
      if (fault !== null) {
        input.setFault(t("form.json", { detail: fault }));
        return;
      }
      const data = isText ? { texts: rows } : { instances: rows };
      const found = await session.post("predict", { ...data, model: one.model }, { timeout: 60_000 });
      const { predictions, row_errors: faults } = found;
      put(answer, json(app, rows.length > 1 ? { predictions, row_errors: faults } : (predictions[0] ?? faults)));
    },
  });
  return [body, answer];
}
