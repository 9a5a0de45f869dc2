// The table of the list, without its rows.

import { h } from "../../core/h.js";

const COLUMNS = ["state", "job", "owner", "queue", "progress", "attempt", "now", "created"];
const HEADS = {
  now: { class: "details", text: "jobs.c.now" },
  created: { class: "created end", text: "jobs.f.created" },
  owner: { class: "owner", text: "jobs.f.owner" },
  queue: { class: "queue", text: "jobs.f.queue" },
};

/** Make the table, with a box in its head that selects all loaded rows. */
export function jobsTable({ t }, selection) {
  const all = h("input", {
    type: "checkbox",
    "aria-label": t("jobs.selected.other", { n: t("jobs.all") }),
    onclick: ({ target }) => selection.tickAll(target.checked),
  });
  const columns = COLUMNS.map((name) => {
    const { class: className, text } = HEADS[name] ?? { class: name, text: `jobs.c.${name}` };
    return h("th", { scope: "col", class: className }, t(text));
  });
  const head = h(
    "tr",
    null,
    h("th", { scope: "col", class: "tick" }, all),
    ...columns,
    h("th", { scope: "col", class: "row-menu" }, h("span", { class: "unseen" }, t("act.more"))),
  );
  const body = h("tbody");
  const table = h(
    "table",
    { class: "list jobs-table" },
    h("caption", { class: "unseen" }, t("jobs.title")),
    h("thead", null, head),
    body,
  );
  return { table, body };
}
