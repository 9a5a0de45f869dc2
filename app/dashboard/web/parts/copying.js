// Shows a text to copy by hand, where the browser does not let the page copy it.

import { h } from "../core/h.js";

/** Open a dialog with a text, selected. */
export async function showText(app, text) {
  const { t, notices } = app;
  const area = h("textarea", { readonly: true, rows: 4, value: text, "aria-label": t("act.copy") });
  await notices.dialog(
    t("act.copy"),
    [
      h("p", null, t("act.copy.failed")),
      area,
      h("div", { class: "actions" }, h("button", { value: "" }, t("act.close"))),
    ],
    {
      onOpen: () => area.select(),
    },
  );
}
