// Before the first paint: theme, density and language, as the reader has set them. A classic script in <head>.
"use strict";

(() => {
  const root = document.documentElement;
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("headrace.preferences") ?? "{}") ?? {};
  } catch {
    // Storage is blocked, or holds something else: the defaults are right.
  }
  if (kept.theme === "light" || kept.theme === "dark") {
    root.dataset.theme = kept.theme;
  }
  if (kept.density === "compact") {
    root.dataset.density = "compact";
  }
  if (kept.motion === "reduced") {
    root.dataset.motion = "reduced";
  }
  const wanted =
    kept.language ?? navigator.languages.find((language) => /^(zh|en)\b/i.test(language)) ?? "en";
  root.lang = /^zh/i.test(wanted) ? "zh-CN" : "en";
  addEventListener("DOMContentLoaded", () => {
    // What the modules rely on, and older browsers lack.
    const isSupported =
      "any" in AbortSignal && "withResolvers" in Promise && CSS.supports("color", "light-dark(#000, #fff)");
    document.getElementById("unsupported").hidden = isSupported;
  });
})();
