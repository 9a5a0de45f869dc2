// A table that scrolls by itself where it is too wide.

import { h } from "../core/h.js";

/** Make a table of a class, `list` or `data`, of the contents of its heads and of its rows, each a `tr`. */
export function tableOf(caption, className, heads, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: className },
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", null, ...rows),
    ),
  );
}
