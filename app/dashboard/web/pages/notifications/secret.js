// A signing secret: shown once, with a button that copies it.

import { h } from "../../core/h.js";

/** The secret in a dialog, until the reader closes it. Nothing keeps it. */
export function showSecret(app, secret) {
  const { t, notices } = app;
  return notices.dialog(t("note.secret"), [
    h("p", null, t("note.secret.text")),
    h("p", { class: "secret" }, h("code", null, secret), app.copyButton(secret)),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "submit", value: "", class: "plain-button" }, t("act.close")),
    ),
  ]);
}
