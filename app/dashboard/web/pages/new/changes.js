// What differs between the request of an earlier job and the new one.

import { h } from "../../core/h.js";
import { named } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";

const MAX_ENTRIES = 3;
const MAX_CHARACTERS = 80;

/** The differences as nodes: a table of the members that were changed, or a sentence if there are none. */
export function changes(app, before, after) {
  const { t } = app;
  const [old, now] = [flat(before), flat(after)];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(
    (name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]),
  );
  if (names.length === 0) {
    return [h("p", { class: "meta" }, t("new.diff.none"))];
  }
  return [
    tableOf(
      t("dead.diff"),
      "list diff",
      [t("new.diff.field"), t("new.diff.old"), t("new.diff.new")],
      names.map((name) => {
        const [gone, added] = shown(app, old[name], now[name]);
        return h(
          "tr",
          null,
          h("th", { scope: "row" }, h("code", null, name)),
          h(
            "td",
            null,
            gone.map((text) => h("del", null, text)),
          ),
          h(
            "td",
            null,
            added.map((text) => h("ins", null, text)),
          ),
        );
      }),
    ),
  ];
}

/** Objects by the paths of their members, one level deep. */
function flat(body) {
  return Object.fromEntries(
    Object.entries(body).flatMap(([name, value]) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(value).map(([key, one]) => [`${name}.${key}`, one])
        : [[name, value]],
    ),
  );
}

/** What is gone, and what came in its place. Of lists, only the entries that differ. */
function shown(app, old, now) {
  if (!Array.isArray(old) || !Array.isArray(now)) {
    return [old, now].map((value) => (value === undefined ? [] : [text(value)]));
  }
  return [entries(app, old, now), entries(app, now, old)];
}

/** The entries of a list that another lacks, the first few of them. */
function entries(app, list, other) {
  const left = new Map();
  for (const one of other) {
    const key = JSON.stringify(one);
    left.set(key, (left.get(key) ?? 0) + 1);
  }
  const own = list.filter((one) => {
    const key = JSON.stringify(one);
    const count = left.get(key) ?? 0;
    left.set(key, count - 1);
    return count <= 0;
  });
  const rest = own.length - MAX_ENTRIES;
  const first = own.slice(0, MAX_ENTRIES).map(text);
  return rest > 0 ? [...first, app.t("new.diff.more", { n: app.format.number(rest) })] : first;
}

function text(value) {
  return named(typeof value === "string" ? value : JSON.stringify(value), { max: MAX_CHARACTERS });
}
