// The form for the first job: three texts, and the built-in model.

import { h } from "../core/h.js";
import { field, form } from "./forms.js";

const SAMPLES = [
  "What a lovely day, everything just works!",
  "The support was rude and useless.",
  "The parcel arrived on Tuesday.",
];

/** Create the panel. */
export function firstJob(app, signal) {
  const { t, session } = app;
  const texts = field(app, {
    name: "texts",
    label: t("new.texts"),
    rows: 4,
    value: SAMPLES.join("\n"),
    spellcheck: "false",
    required: true,
  });
  const key = newKey();
  const body = form(app, signal, {
    fields: [texts],
    action: t("over.first.go"),
    send: async (values) => {
      const lines = linesOf(values.texts);
      const created = await session.post(
        "jobs/batch-predict",
        { texts: lines, batch_size: 1 },
        { headers: { "Idempotency-Key": key } },
      );
      app.notices.toast(t("new.done"));
      app.go(`jobs/${created.job_id}`);
    },
  });
  return h("section", { class: "panel first-job" }, h("h2", null, t("over.first")), body);
}

/** The lines of a text that are not blank. */
export function linesOf(text) {
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** A random idempotency key. `crypto.randomUUID` would need HTTPS. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
