// The newest jobs that use something, and how many there are.

import { h } from "../core/h.js";
import { to } from "../core/places.js";
import { resource } from "./resource.js";
import { jobLink, shortId, stateOf } from "./states.js";

const SHOWN = 5;

/** Show the jobs that match filters, such as `{dataset_id}` or `{model: "churn@3"}`, in an element. */
export function usedBy(app, element, { filters, signal }) {
  const { t, session, format, times } = app;
  return resource(app, element, {
    signal,
    fetch: (until) =>
      Promise.all([
        session.get("jobs", { ...filters, view: "row", limit: SHOWN }, until),
        session.get("jobs/counts", filters, until),
      ]),
    render: ([{ items }, { all }]) =>
      items.length === 0
        ? h("p", { class: "quiet-line" }, t("used.none"))
        : [
            h(
              "ul",
              { class: "running-list" },
              ...items.map((job) =>
                h(
                  "li",
                  null,
                  h(
                    "span",
                    { class: "what" },
                    jobLink(app, job),
                    " ",
                    h("span", { class: "mono meta", title: job.job_id }, shortId(job.job_id)),
                  ),
                  stateOf(app, job),
                  h("span", { class: "meta" }, times.moment(job.created_at)),
                ),
              ),
            ),
            all > items.length &&
              h("p", null, h("a", { href: to("jobs", filters) }, t("act.all", { n: format.capped(all) }))),
          ],
  });
}
