// Fields from a JSON Schema: one for each property. Only what differs from the default is sent.

import { h } from "../core/h.js";
import { field } from "./forms.js";

const LONG_TEXT = 1000;

/**
 * Create the fields of a schema: `{fields, values()}`. `given` are the values to begin with.
 *
 * `prefix` begins their names, as errors name them; the properties in `skip` have none. What has no plain type is
 * typed as JSON.
 */
export function schemaFields(app, schema, given = {}, { prefix = "params.", skip = [] } = {}) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {})
    .filter(([name]) => !skip.includes(name))
    .map(([name, about]) =>
      create(app, plain(about, schema.$defs ?? {}), {
        key: name,
        name: `${prefix}${name}`,
        given: given[name],
        required: required.has(name),
      }),
    )
    .filter(Boolean);
  return {
    fields,
    values: () =>
      Object.fromEntries(
        fields.map((one) => [one.key, one.read()]).filter(([, value]) => value !== undefined),
      ),
  };
}

function create(app, about, { key, name, given, required }) {
  const common = {
    name,
    label: key.replaceAll("_", " "),
    note: about.description ? h("span", { lang: "en" }, about.description.replaceAll("`", "")) : null,
    required,
    placeholder: isPlain(about.default) ? String(about.default) : "",
  };
  const [made, read] = typed(app, about, common, given);
  return Object.assign(made, {
    key,
    read: () => {
      const value = read();
      return JSON.stringify(value) === JSON.stringify(about.default) ? undefined : value;
    },
  });
}

/** The field for a type, and how its value is read. */
function typed(app, about, common, given) {
  if (about.enum !== undefined) {
    const isOptional = about.default === undefined && !common.required;
    const made = field(app, {
      ...common,
      options: [...(isOptional ? [["", "–"]] : []), ...about.enum.map((one) => [String(one), String(one)])],
      value: given ?? about.default ?? "",
    });
    return [made, () => about.enum.find((one) => String(one) === made.value)];
  }
  if (about.type === "boolean") {
    const value = given ?? about.default ?? false;
    const made = field(app, { ...common, required: false, type: "checkbox", value });
    return [made, () => (made.value || about.default !== undefined ? made.value : undefined)];
  }
  if (about.type === "integer" || about.type === "number") {
    const made = field(app, {
      ...common,
      type: "number",
      step: about.type === "integer" ? 1 : "any",
      min: about.minimum,
      max: about.maximum,
      value: given ?? "",
    });
    return [made, () => (made.value === "" ? undefined : Number(made.value))];
  }
  if (about.type === "string" || (about.anyOf === undefined && isPlain(given))) {
    const rows = about.maxLength > LONG_TEXT ? 4 : null;
    const made = field(app, { ...common, rows, value: given ?? "" });
    return [made, () => (made.value === "" ? undefined : made.value)];
  }
  if (isListOfTexts(about) && !(given ?? []).some((one) => one.includes("\n"))) {
    const made = field(app, { ...common, rows: 4, value: (given ?? []).join("\n"), spellcheck: "false" });
    return [made, () => (made.value.trim() === "" ? undefined : lines(made.value))];
  }
  const isText = about.anyOf?.some(({ type }) => type === "string") ?? false;
  const value = given === undefined ? "" : JSON.stringify(given, null, 2);
  const made = jsonField(app, {
    ...common,
    placeholder: { array: "[…]", object: "{…}" }[about.type] ?? "",
    value: isText && typeof given === "string" ? given : value,
  });
  if (isText) {
    made.check = undefined; // what is no JSON is the text itself
  }
  return [made, () => made.parsed() ?? (isText && made.value.trim() !== "" ? made.value.trim() : undefined)];
}

/** A field for JSON: `parsed()` is its value, undefined while it is empty or not valid. */
export function jsonField(app, members) {
  const made = field(app, { rows: 4, spellcheck: "false", class: "mono", ...members });
  const parse = () => (made.value.trim() === "" ? undefined : JSON.parse(made.value));
  return Object.assign(made, {
    parsed: () => {
      try {
        return parse();
      } catch {
        return undefined;
      }
    },
    check: () => {
      try {
        parse();
        return null;
      } catch (error) {
        return app.t("form.json", { detail: error.message });
      }
    },
  });
}

function isPlain(value) {
  return ["string", "number", "boolean"].includes(typeof value);
}

function isListOfTexts({ type, items }) {
  return type === "array" && items?.type === "string" && items.enum === undefined;
}

function lines(text) {
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** Of alternatives, the first that is not null; what the schema defines elsewhere is looked up. */
function plain(about, definitions) {
  const { description, default: preset, ...rest } = about;
  let one = rest;
  const found = [one, ...(one.anyOf ?? []), ...(one.allOf ?? [])].find((part) => part.$ref !== undefined);
  const choices = one.anyOf?.filter((part) => part.type !== "null") ?? [];
  if (choices.length > 1) {
    return { description, default: preset, anyOf: choices };
  }
  if (choices.length === 1) {
    [one] = choices;
  }
  if (found !== undefined) {
    one = { ...definitions[found.$ref.split("/").at(-1)], ...one };
  }
  return { ...one, description: description ?? one.description, default: preset };
}
