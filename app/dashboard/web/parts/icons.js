// Icons: 16 px line drawings in the colour of the text, hidden from screen readers. A word always stands beside them.

import { s } from "../core/h.js";

const PATHS = {
  alert: ["M8 2 1.5 13.5h13z", "M8 6.5v3.5", "M8 12v.1"],
  bell: ["M3.5 11.5c1-1 1-2.5 1-4.5a3.5 3.5 0 0 1 7 0c0 2 0 3.5 1 4.5z", "M6.5 13.5h3"],
  bars: ["M3 13V8", "M8 13V3", "M13 13V6"],
  check: ["m3 8.5 3.5 3.5L13 4.5"],
  chevron: ["m4 6 4 4 4-4"],
  clock: ["M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z", "M8 4.5V8l2.5 1.5"],
  close: ["m4 4 8 8", "m12 4-8 8"],
  copy: ["M5.5 5.5h8v8h-8z", "M3.5 10.5h-1v-8h8v1"],
  cube: ["m8 1.5 6 3v7l-6 3-6-3v-7z", "m2 4.5 6 3 6-3", "M8 7.5v7"],
  data: [
    "M3 4c0-1 2.2-2 5-2s5 1 5 2-2.2 2-5 2-5-1-5-2z",
    "M3 4v8c0 1 2.2 2 5 2s5-1 5-2V4",
    "M3 8c0 1 2.2 2 5 2s5-1 5-2",
  ],
  download: ["M8 2v8", "m4.5 7 3.5 3.5L11.5 7", "M3 13.5h10"],
  filter: ["M2 4h12", "M4.5 8h7", "M7 12h2"],
  help: ["M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7", "M8 12.5v.1"],
  list: ["M2.5 4h11", "M2.5 8h11", "M2.5 12h7"],
  mail: ["M2 3.5h12v9H2z", "m2 4.5 6 4.5 6-4.5"],
  moon: ["M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z"],
  more: ["M3.5 8v.1", "M8 8v.1", "M12.5 8v.1"],
  person: ["M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z", "M3 14c0-2.5 2-4 5-4s5 1.5 5 4"],
  plus: ["M8 3v10", "M3 8h10"],
  repeat: [
    "M13 6A5.2 5.2 0 0 0 3.5 5.5L2.5 7",
    "M2.5 3v4h4",
    "M3 10a5.2 5.2 0 0 0 9.5.5l1-1.5",
    "M13.5 13V9h-4",
  ],
  pause: ["M5.5 3.5v9", "M10.5 3.5v9"],
  play: ["M4.5 3v10l8-5z"],
  search: ["M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9z", "m10.5 10.5 3 3"],
  shield: ["m8 1.5 5.5 2v4c0 3.5-2.5 5.5-5.5 7-3-1.5-5.5-3.5-5.5-7v-4z"],
  sliders: ["M2 5h6", "M12 5h2", "M10 3.5v3", "M2 11h2", "M8 11h6", "M6 9.5v3"],
  stop: ["M4.5 4.5h7v7h-7z"],
  sun: [
    "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
    "M8 1.5v1.5",
    "M8 13v1.5",
    "M1.5 8h1.5",
    "M13 8h1.5",
    "m3.5 3.5 1 1",
    "m11.5 11.5 1 1",
    "m3.5 12.5 1-1",
    "m11.5 4.5 1-1",
  ],
  upload: ["M8 11V3", "m4.5 6.5 3.5-3.5 3.5 3.5", "M3 13.5h10"],
};

/** Create an icon by its name. */
export function icon(name) {
  return drawing(
    "icon",
    PATHS[name].map((d) => s("path", { d })),
  );
}

// The states of jobs and attempts: each has a shape of its own, and not only a colour.
const RING = { cx: 8, cy: 8, r: 5.75 };
const STATES = {
  pending: () => [s("circle", { ...RING, "stroke-dasharray": "2.2 2.2" })],
  running: () => [s("circle", RING), s("path", { d: "M8 2.25a5.75 5.75 0 0 1 0 11.5z", class: "solid" })],
  completed: () => [s("circle", RING), s("path", { d: "m5.5 8.2 1.8 1.8 3.3-3.8" })],
  failed: () => [
    s("path", { d: "M5.5 1.75h5l3.75 3.75v5l-3.75 3.75h-5L1.75 10.5v-5z", class: "solid" }),
    s("path", { d: "m5.75 5.75 4.5 4.5m0-4.5-4.5 4.5", class: "cut" }),
  ],
  cancelled: () => [s("circle", RING), s("path", { d: "m4.2 11.8 7.6-7.6" })],
  retry: () => [
    s("path", { d: "M13.2 6A5.75 5.75 0 1 0 13.75 8" }),
    s("path", { d: "M13.5 2.5V6H10" }),
    s("path", { d: "M8 5v3.2l2 1.3" }),
  ],
};

/** Create the icon of a state. */
export function stateIcon(state) {
  return drawing(`icon state-icon ${state}`, STATES[state]());
}

/** The mark of Headrace. */
export function mark() {
  return drawing("mark", [
    s("rect", { width: 16, height: 16, rx: 4, class: "solid" }),
    s("path", { d: "M3 5.5h2.5c2 0 2.5 2 4.5 2h3M3 8.5h2.5c2 0 2.5 2 4.5 2h3", class: "cut" }),
  ]);
}

function drawing(name, shapes) {
  return s(
    "svg",
    { class: name, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    ...shapes,
  );
}
