// What became of the ticks of a schedule, newest first.

import { h } from "../../core/h.js";
import { to } from "../../core/places.js";
import { resource } from "../../parts/resource.js";
import { reasonOf } from "./words.js";

const PAGE = 50;
const LATE_MILLISECONDS = 1000;
const OUTCOMES = ["fired", "manual", "waiting", "skipped", "replaced", "missed", "refused"];

/** Create the panel: `{element, refresh()}`. */
export function history(app, signal, id) {
  const { t, session } = app;
  let outcome = "";
  let pages = 1;
  const body = h("div");
  const filter = h(
    "select",
    { "aria-label": t("sched.outcome") },
    h("option", { value: "" }, t("jobs.f.any")),
    ...OUTCOMES.map((name) => h("option", { value: name }, outcomeOf(app, name, ""))),
  );
  filter.addEventListener("change", () => {
    outcome = filter.value;
    pages = 1;
    list.refresh();
  });
  const list = resource(app, body, {
    signal,
    fetch: async (until) => {
      const items = [];
      let cursor = null;
      for (let page = 0; page < pages; page += 1) {
        const found = await session.get(
          `schedules/${encodeURIComponent(id)}/firings`,
          { limit: PAGE, outcome, cursor },
          until,
        );
        items.push(...found.items);
        cursor = found.next_cursor;
        if (cursor === null) {
          break;
        }
      }
      return { items, cursor };
    },
    render: ({ items, cursor }) => [
      items.length === 0
        ? h("p", { class: "quiet-line" }, t("sched.history.none"))
        : h("ul", { class: "running-list" }, ...items.map((one) => firing(app, one))),
      cursor !== null &&
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            onclick: () => {
              pages += 1;
              list.refresh();
            },
          },
          t("table.more"),
        ),
    ],
  });
  const element = h(
    "section",
    { class: "panel" },
    h(
      "header",
      null,
      h("h2", null, t("sched.history")),
      h("label", { class: "filter" }, h("span", null, t("sched.outcome")), filter),
      h("span", { class: "spring" }),
      h("a", { href: to("jobs", { schedule_id: id }) }, t("nav.jobs")),
    ),
    body,
  );
  return { element, refresh: list.refresh };
}

function firing(app, one) {
  const { t, format } = app;
  const isBad = one.outcome === "missed" || one.outcome === "refused" || one.outcome === "skipped";
  return h(
    "li",
    null,
    h("time", { class: "meta", datetime: one.fire_at }, format.exact(new Date(one.fire_at))),
    h(
      "span",
      { class: `what ${isBad ? "warn" : ""}`, dir: "auto", title: one.reason?.message },
      outcomeOf(app, one.outcome, one.reason === null ? "" : reasonOf(app, one.reason)),
      one.count !== null && one.count > 1 ? ` × ${format.number(one.count)}` : "",
    ),
    one.lateness_ms > LATE_MILLISECONDS &&
      one.outcome === "fired" &&
      h("span", { class: "meta" }, t("sched.late", { t: format.duration(one.lateness_ms / 1000) })),
    one.job_id !== null && h("a", { href: to(`jobs/${one.job_id}`) }, t("act.open")),
  );
}

function outcomeOf({ t, words }, outcome, reason) {
  const key = `sched.${outcome}`;
  // A sentence ends without its reason where there is none.
  return words.has(key) ? t(key, { reason }).replace(/[:：]\s*$/, "") : outcome;
}
