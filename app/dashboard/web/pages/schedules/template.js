// The job that a schedule makes: the fields that its kind has most often, and all others as JSON. Those of a plugin's
// kind come from the schema of its request.

import { h, put, set } from "../../core/h.js";
import { linesOf } from "../../parts/first-job.js";
import { field } from "../../parts/forms.js";
import { schemaFields } from "../../parts/schema-form.js";
import { kindOf } from "../../parts/states.js";

// The fields of each kind: the name of the member, the words, and how it is typed.
const KINDS = {
  batch_predict: [
    ["dataset", "new.dataset", "dataset"],
    ["texts", "new.texts", "lines"],
    ["model", "new.model", "model"],
    ["batch_size", "new.batch", "number"],
  ],
  train_model: [
    ["dataset", "new.dataset", "dataset"],
    ["target", "new.target", "text"],
    ["model", "new.name", "model"],
    ["algorithm", "new.algorithm", "text"],
  ],
  evaluate_model: [
    ["dataset", "new.dataset", "dataset"],
    ["model", "new.model", "model"],
  ],
  preprocess_dataset: [["dataset", "new.dataset", "dataset"]],
  convert_model: [["model", "new.model", "model"]],
  send_email: [
    ["to", "sched.mail.to", "text"],
    ["subject", "sched.mail.subject", "text"],
    ["body", "sched.mail.body", "area"],
  ],
};
const DATASET = ["dataset", "new.dataset", "dataset"];
const COMMON = [
  ["queue", "jobs.f.queue", "text"],
  ["max_attempts", "new.attempts", "number"],
];
// Of a plugin's kind: the schedule says when, and these belong to one request.
const LEFT_OUT = ["run_at", "profile", "resubmitted_from", "dataset", "dataset_id"];
const ID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/**
 * Create the fields: `{fields, element, body()}`. `kinds` are those of `GET /kinds`. `body()` is the job as the API takes it, or null if the JSON is none:
 * then the field says so.
 */
export function templateFields(app, signal, given, kinds) {
  const { t, session } = app;
  const datasets = h("datalist", { id: "schedule-datasets" });
  const models = h("datalist", { id: "schedule-models" });
  const schemas = new Map(kinds.map(({ name, request }) => [name, request]));
  const kind = field(app, {
    name: "job.kind",
    label: t("jobs.f.kind"),
    options: [...new Set([...Object.keys(KINDS), ...schemas.keys(), given.kind])].map((name) => [
      name,
      kindOf(app, name),
    ]),
    value: given.kind,
  });
  const box = h("div", { class: "fields" });
  let shown = [];
  let rest = null;

  function draw(values) {
    const schema = schemas.get(kind.value);
    const ofKind = KINDS[kind.value] ?? (schema?.properties?.dataset_id === undefined ? [] : [DATASET]);
    const all = [...ofKind, ...COMMON];
    shown = all.map(([member, key, type]) => create(app, kind.value, member, key, type, values));
    if (KINDS[kind.value] === undefined && schema !== undefined) {
      shown.unshift(...ofSchema(app, kind.value, schema, values));
    }
    const known = new Set(["kind", "dataset_id", ...shown.map((one) => one.key)]);
    const others = Object.fromEntries(Object.entries(values).filter(([member]) => !known.has(member)));
    rest = field(app, {
      name: "job",
      label: t("sched.rest"),
      rows: 3,
      class: "mono",
      spellcheck: "false",
      note: t("sched.rest.note"),
      value: Object.keys(others).length === 0 ? "" : JSON.stringify(others, null, 2),
    });
    rest.element.classList.add("wide");
    const { setFault } = rest;
    // A fault of a member that has no field of its own names it.
    rest.setFault = (message, path = "job") =>
      setFault(message && path !== "job" ? `${path.split(".").slice(2).join(".")}: ${message}` : message);
    put(box, ...shown.map((one) => one.element), rest.element);
  }

  kind.input.addEventListener("change", () => draw({}));
  draw(given);
  Promise.all([fill(session, "datasets", datasets, signal), fill(session, "models", models, signal)]).catch(
    (problem) => signal.aborted || app.fail(problem),
  );
  return {
    get fields() {
      return [kind, ...shown, rest];
    },
    element: h("div", { class: "step" }, kind.element, box, datasets, models),
    body() {
      let more = {};
      rest.setFault(null);
      if (rest.value.trim() !== "") {
        try {
          more = JSON.parse(rest.value);
        } catch (error) {
          rest.setFault(t("form.json", { detail: error.message }));
          return null;
        }
        if (more === null || typeof more !== "object" || Array.isArray(more)) {
          rest.setFault(t("form.json", { detail: "{…}" }));
          return null;
        }
      }
      return Object.assign({ kind: kind.value }, ...shown.map((one) => one.member()), more);
    },
    /** Give the focus to what is not JSON. */
    focus: () => rest.input.focus(),
  };
}

function create(app, kind, member, key, type, values) {
  const isLong = type === "lines" || type === "area";
  const given = values[member] ?? (type === "dataset" ? values.dataset_id : null) ?? "";
  // A list, such as that of several recipients, is typed with commas.
  const value =
    type === "lines" && given !== "" ? given.join("\n") : Array.isArray(given) ? given.join(", ") : given;
  const made = field(app, {
    name: `job.${kind}.${member}`,
    label: app.t(key),
    ...(isLong ? { rows: 4, spellcheck: "false" } : { type: type === "number" ? "number" : "text" }),
    ...(type === "dataset" && { list: "schedule-datasets" }),
    ...(type === "model" && { list: "schedule-models" }),
    note: type === "dataset" ? app.t("sched.dataset.note") : null,
    value,
  });
  if (isLong) {
    made.element.classList.add("wide");
  }
  return Object.assign(made, {
    key: member,
    member: () => {
      const typed = type === "lines" ? linesOf(made.value) : made.value.trim();
      if (typed.length === 0) {
        return {};
      }
      if (type === "dataset" && ID.test(typed)) {
        return { dataset_id: typed };
      }
      if (Array.isArray(given) && type === "text") {
        return { [member]: typed.split(",").map((one) => one.trim()) };
      }
      return { [member]: type === "number" ? Number(typed) : typed };
    },
  });
}

/** The fields of a plugin's kind. */
function ofSchema(app, kind, schema, values) {
  const skip = [...COMMON.map(([member]) => member), "priority", "metadata", ...LEFT_OUT];
  const { fields } = schemaFields(app, schema, values, { prefix: `job.${kind}.`, skip });
  return fields.map((one) =>
    Object.assign(one, {
      member: () => {
        const value = one.read();
        return value === undefined ? {} : { [one.key]: value };
      },
    }),
  );
}

async function fill(session, path, list, signal) {
  const { items } = await session.get(path, { limit: 100 }, signal);
  put(list, ...[...new Set(items.map((one) => one.name))].map((name) => set(h("option"), { value: name })));
}
