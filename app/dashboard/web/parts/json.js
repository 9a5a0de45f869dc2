// A JSON value, indented, as text.

import { h } from "../core/h.js";

const MAX_CHARACTERS = 20_000;

/** Show a JSON value with a button that copies it. */
export function json(app, value) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  const shown = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
  return h("div", { class: "json" }, h("pre", { tabindex: 0 }, shown), app.copyButton(text));
}
