// Beside the list, where there is room: the job that was selected.

import { h, put } from "../../core/h.js";
import { icon } from "../../parts/icons.js";

const WIDE = matchMedia("(min-width: 112rem)");

/** Create the panel: `{element, open(jobId)}`; `open` returns whether there is room. */
export function sidePanel(app, signal) {
  const element = h("aside", { class: "side-panel", hidden: true });
  let shown = null;
  signal.addEventListener("abort", () => shown?.abort(), { once: true });

  function close() {
    shown?.abort();
    element.hidden = true;
    put(element);
  }

  return {
    element,
    open(jobId) {
      if (!WIDE.matches) {
        return false;
      }
      shown?.abort();
      shown = new AbortController();
      const { signal: until } = shown;
      const root = h("div", { class: "page job embedded" });
      element.hidden = false;
      put(
        element,
        h(
          "button",
          { type: "button", class: "quiet square", "aria-label": app.t("act.close"), onclick: close },
          icon("close"),
        ),
        root,
      );
      import("../job/page.js").then(({ open }) =>
        open(root, { id: jobId, query: new URLSearchParams(), isEmbedded: true }, until, app),
      );
      return true;
    },
  };
}
