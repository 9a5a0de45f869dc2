// Shortcuts of single keys: outside fields and dialogs, and only if the reader wants them.

import { h } from "./h.js";

const GO = {
  o: ["", "overview"],
  j: ["jobs", "jobs"],
  d: ["datasets", "datasets"],
  s: ["schedules", "schedules"],
  m: ["models", "models"],
};
const CHORD_MILLISECONDS = 1500;

/** Listen to keys for as long as the page lives. */
export function listen(app) {
  let chordUntil = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === undefined) {
      return; // the browser has filled in a form
    }
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && app.user) {
      event.preventDefault();
      app.search();
      return;
    }
    const isElsewhere =
      event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
    if (
      isElsewhere ||
      isField(event.target) ||
      document.querySelector("dialog[open]") ||
      !app.user ||
      !app.preferences.singleKeys.peek()
    ) {
      return;
    }
    const { key, timeStamp } = event;
    if (timeStamp < chordUntil && key in GO) {
      chordUntil = 0;
      app.go(GO[key][0]);
    } else if (key === "g") {
      chordUntil = timeStamp + CHORD_MILLISECONDS;
      return;
    } else if (key === "/") {
      app.search();
    } else if (key === "n" && app.can("submit")) {
      app.go("new");
    } else if (key === "p") {
      app.pause(!app.paused.peek());
    } else if (key === "?") {
      showKeys(app);
    } else {
      return; // the page may know it
    }
    event.preventDefault();
  });
}

/** The shortcuts as rows: keys and what they do. */
export function described({ t }) {
  return [
    ["/", t("nav.search")],
    ...Object.entries(GO).map(([key, [, name]]) => [`g ${key}`, t(`nav.${name}`)]),
    ["n", t("nav.new")],
    ["j k", t("set.keys.rows")],
    ["x", t("set.keys.tick")],
    ["Enter", t("act.open")],
    ["c", t("act.cancel")],
    ["r", t("act.retry")],
    ["p", t("link.pause")],
    ["?", t("set.keys")],
  ];
}

async function showKeys(app) {
  const rows = described(app).map(([keys, text]) =>
    h(
      "tr",
      null,
      h(
        "th",
        { scope: "row" },
        keys.split(" ").map((key) => [h("kbd", null, key), " "]),
      ),
      h("td", null, text),
    ),
  );
  await app.notices.dialog(app.t("set.keys"), [
    h("table", { class: "keys" }, h("tbody", null, rows)),
    h("div", { class: "actions" }, h("button", { value: "", autofocus: true }, app.t("act.close"))),
  ]);
}

function isField(target) {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select"))
  );
}
