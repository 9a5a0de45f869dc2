// What the reader has set, in this browser: theme, language, density, times, motion, keys, saved views.

import { signal } from "./signal.js";

const KEY = "headrace.preferences"; // `boot.js` reads it, too

const DEFAULTS = {
  theme: "system",
  language: null,
  density: "normal",
  times: "relative",
  motion: "system",
  singleKeys: true,
  views: [],
};

/** The preferences. Each is a signal; setting it stores it, and shows it at once. */
export class Preferences {
  constructor() {
    const kept = { ...DEFAULTS, ...read() };
    for (const name of Object.keys(DEFAULTS)) {
      this[name] = signal(kept[name]);
    }
    // Another tab has set something.
    addEventListener("storage", (event) => {
      if (event.key === KEY) {
        for (const [name, value] of Object.entries({ ...DEFAULTS, ...read() })) {
          if (name in DEFAULTS && JSON.stringify(this[name].peek()) !== JSON.stringify(value)) {
            this[name].value = value;
          }
        }
        this.apply();
      }
    });
  }

  /** Set a preference and keep it. */
  set(name, value) {
    this[name].value = value;
    try {
      localStorage.setItem(KEY, JSON.stringify({ ...read(), [name]: value }));
    } catch {
      // Storage is blocked: it holds for this page.
    }
    this.apply();
  }

  /** Show theme, density and motion on the page. */
  apply() {
    const { dataset } = document.documentElement;
    show(dataset, "theme", this.theme.peek(), ["light", "dark"]);
    show(dataset, "density", this.density.peek(), ["compact"]);
    show(dataset, "motion", this.motion.peek(), ["reduced"]);
  }

  /** The language to show: the one that was set, else the first of the browser's that we have. */
  get shownLanguage() {
    const wanted = this.language.value ?? navigator.languages.find((one) => /^(zh|en)\b/i.test(one)) ?? "en";
    return /^zh/i.test(wanted) ? "zh-CN" : "en";
  }
}

function show(dataset, name, value, shown) {
  if (shown.includes(value)) {
    dataset[name] = value;
  } else {
    delete dataset[name];
  }
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return kept !== null && typeof kept === "object" ? kept : {};
  } catch {
    return {};
  }
}
