// Shows as many rows as fit into a box that does not scroll, and how many more there are.

import { h } from "../core/h.js";

/** Keep the first rows of a box that fit, now and whenever its size changes, and count the others below them. */
export function fitting(app, box, selector, signal) {
  const more = h("p", { class: "meta more-rows" });

  function fit() {
    more.remove();
    const rows = [...box.querySelectorAll(selector)];
    rows.forEach((row) => (row.hidden = false));
    let shown = rows.length;
    while (shown > 1 && box.scrollHeight > box.clientHeight + 1) {
      shown -= 1;
      rows[shown].hidden = true;
      more.textContent = app.t("wall.more", { n: app.format.number(rows.length - shown) });
      box.append(more);
    }
  }

  const sized = new ResizeObserver(fit);
  sized.observe(box);
  signal.addEventListener("abort", () => sized.disconnect(), { once: true });
  return fit;
}
