// What is shown at an address that is none of ours.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";

/** Open the page. */
export function open(root, _address, _signal, app) {
  const { t } = app;
  app.title(t("page.lost.title"));
  put(
    root,
    h("h1", null, t("page.lost.title")),
    h("p", null, t("page.lost.text")),
    h("p", null, h("a", { href: to("") }, t("page.lost.go"))),
  );
}
