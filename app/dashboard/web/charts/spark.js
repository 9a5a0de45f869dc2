// A small line without axes: how one figure has changed.

import { s } from "../core/h.js";
import { linear, pathThrough } from "./scale.js";

const WIDTH = 96;
const HEIGHT = 20;
const MARGIN = 3;

/** Draw values, the last one marked. `label` says them in words. */
export function spark(values, label) {
  const x = linear([0, Math.max(values.length - 1, 1)], [MARGIN, WIDTH - MARGIN]);
  const y = linear([Math.min(...values), Math.max(...values)], [HEIGHT - MARGIN, MARGIN]);
  const at = values.map((value, index) => [x(values.length === 1 ? 1 : index), y(value)]);
  const [endX, endY] = at.at(-1);
  return s(
    "svg",
    { class: "chart spark", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
    s("path", { class: "line", d: pathThrough(at) }),
    s("circle", { class: "end", cx: endX, cy: endY, r: MARGIN - 0.5 }),
  );
}
