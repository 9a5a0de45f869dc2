// How a schedule is doing: its state, the marks of its last jobs, and the share that completed.

import { h, set } from "../../core/h.js";

/** The last jobs as marks, the newest at the right, with the share of those that ended well. */
export function recent({ t, format }, statuses) {
  const ended = statuses.filter((status) => status === "completed" || status === "failed");
  const completed = ended.filter((status) => status === "completed").length;
  const marks = set(
    h(
      "span",
      { class: "recent", role: "img" },
      ...statuses.toReversed().map((status) => h("span", { class: status })),
    ),
    {
      "aria-label": t("sched.recent", {
        n: format.number(statuses.length),
        done: format.number(completed),
        failed: format.number(ended.length - completed),
      }),
    },
  );
  return h(
    "span",
    { class: "row" },
    marks,
    ended.length > 0 && h("span", { class: "meta" }, format.percent(completed / ended.length)),
  );
}

/** The state of a schedule. */
export function statusTag({ t, words }, one) {
  const key = one.status === "finished" ? "sched.ended" : `sched.${one.status}`;
  const isBad = one.status === "broken" || one.status === "suspended";
  return h(
    "span",
    { class: `tag ${one.status === "active" || one.status === "finished" ? "" : isBad ? "bad" : "warn"}` },
    words.has(key) ? t(key) : one.status,
  );
}
