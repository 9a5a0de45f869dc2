// The pipeline: what waits, what runs, what has ended.

import { h, put, set, setText } from "../core/h.js";
import { to } from "../core/places.js";

const PRIORITIES = ["critical", "high", "normal", "low"];
const MAX_CELLS = 40;

/** Create the panel: `{element, update(overview, rangeName)}`. */
export function pipeline(app) {
  const { t, format } = app;
  const pending = stage(t("over.waiting"), to("jobs", { status: "pending" }));
  const running = stage(t("over.running"), to("jobs", { status: "running" }));
  const ended = stage(t("over.completed"), to("jobs", { status: "completed" }));
  const element = h(
    "section",
    { class: "panel pipeline", "aria-label": t("over.title") },
    pending.element,
    running.element,
    ended.element,
  );

  function update(data, rangeName) {
    const { pending: waiting, running: now, fleet, ended: done, queue_seconds: queue } = data;
    setText(pending.figure, format.capped(waiting.total));
    const counts = PRIORITIES.map((name) => [name, waiting.by_priority[name] ?? 0]).filter(
      ([, count]) => count > 0,
    );
    shares(
      pending.bar,
      counts.map(([name, count]) => [`priority-${name}`, count]),
    );
    put(
      pending.lines,
      counts.length > 0 &&
        h(
          "p",
          null,
          ...counts.map(([name, count]) =>
            h(
              "a",
              { href: to("jobs", { status: "pending", priority: name }) },
              h("strong", null, format.capped(count)),
              ` ${t(`priority.${name}`)}`,
            ),
          ),
        ),
      waiting.oldest_seconds !== null &&
        h(
          "p",
          null,
          waiting.clear_seconds === null
            ? t("over.oldest.only", { t: format.whole(waiting.oldest_seconds) })
            : t("over.oldest", {
                t: format.whole(waiting.oldest_seconds),
                u: format.whole(waiting.clear_seconds),
              }),
        ),
    );

    setText(running.figure, format.capped(now.total));
    setText(
      running.side,
      t("over.slots", { n: format.number(fleet.slots), m: format.number(fleet.workers) }),
    );
    cells(running.bar, fleet.busy, fleet.slots);
    put(
      running.lines,
      h(
        "p",
        null,
        t("over.use", { p: format.percent(fleet.slots > 0 ? fleet.busy / fleet.slots : 0) }),
        h("span", null, t("unit.rate", { n: format.number(now.rows_per_second) })),
      ),
      queue.p50 !== null && h("p", null, t("over.start", { t: format.duration(queue.p50) })),
    );

    setText(ended.figure, format.number(done.completed));
    put(
      ended.side,
      done.success_rate === null
        ? null
        : h(
            "strong",
            { class: "rate" },
            t("over.success", { p: format.percent(done.success_rate, 1), range: rangeName }),
          ),
    );
    shares(ended.bar, [
      ["completed", done.completed],
      ["failed", done.failed],
      ["cancelled", done.cancelled],
    ]);
    put(
      ended.lines,
      h(
        "p",
        null,
        h(
          "a",
          { href: to("jobs", { status: "failed" }), class: done.failed > 0 ? "bad" : null },
          t("over.failed", { n: format.number(done.failed) }),
        ),
        h(
          "a",
          { href: to("jobs", { status: "cancelled" }) },
          t("over.cancelled", { n: format.number(done.cancelled) }),
        ),
      ),
      done.rescued > 0 && h("p", null, t("over.resumed", { n: format.number(done.rescued) })),
    );
  }

  return { element, update };
}

function stage(name, href) {
  const figure = h("span", { class: "figure" }, "–");
  const side = h("span", { class: "side" });
  const bar = h("div", { class: "shares", "aria-hidden": "true" });
  const lines = h("div", { class: "lines" });
  const element = h(
    "div",
    { class: "stage" },
    h("p", { class: "head" }, h("a", { href }, figure, ` ${name}`), side),
    bar,
    lines,
  );
  return { element, figure, side, bar, lines };
}

/** Parts of a bar as wide as their counts; none is too thin to be seen. */
function shares(bar, counts) {
  const shown = counts.filter(([, count]) => count > 0);
  put(
    bar,
    ...shown.map(([name, count]) => set(h("span", { class: `share ${name}` }), { vars: { share: count } })),
  );
}

/** One cell for each slot, or the share of busy ones if there are too many. */
function cells(bar, busy, slots) {
  if (slots > MAX_CELLS) {
    shares(bar, [
      ["busy", busy],
      ["free", slots - busy],
    ]);
    return;
  }
  put(
    bar,
    ...Array.from({ length: slots }, (_, index) =>
      h("span", { class: `share cell ${index < busy ? "busy" : "free"}`, vars: { share: 1 } }),
    ),
  );
}
