// A form in a dialog: it closes when it was sent, and stays as it is after an error.

import { h } from "../core/h.js";
import { form } from "./forms.js";

/** Open a form with these fields. `send(values)` may return false to keep it open. */
export function formDialog(app, signal, { title, fields, action, send, sentence }) {
  return app.notices.dialog(title, [], {
    signal,
    onOpen: (dialog, outer) => {
      const inner = form(app, signal, {
        fields,
        action,
        sentence,
        send: async (values) => {
          if ((await send(values)) !== false) {
            dialog.close("sent");
          }
        },
      });
      const close = () => dialog.close("");
      inner
        .querySelector(".actions")
        .prepend(h("button", { type: "button", class: "plain-button", onclick: close }, app.t("act.close")));
      dialog.append(inner); // a form within a form is not possible
      dialog.insertBefore(outer, inner);
      fields[0].input.focus();
    },
  });
}
