// All events, newest first.

import { h, put } from "../../core/h.js";
import { line } from "./activity.js";

/** Show the events in a panel. */
export function show(panel, state, events, signal, app) {
  const { t } = app;
  const list = h("ol", { class: "activity" });
  const more = h(
    "button",
    { type: "button", class: "plain-button", onclick: () => older() },
    t("table.more"),
  );
  put(panel, list, h("p", { class: "list-foot" }, more));
  let shown = "";

  async function older() {
    const oldest = gapIn(events.newestFirst);
    try {
      await events.before(oldest);
      update();
    } catch (problem) {
      if (!signal.aborted) {
        app.fail(problem);
      }
    }
  }

  function update() {
    const all = events.newestFirst;
    const key = `${all.length} ${events.lastSeq}`;
    if (key !== shown) {
      shown = key;
      put(list, ...all.map((event) => line(app, state.job, event)));
      more.hidden = gapIn(all) === null;
    }
  }

  update();
  return { update };
}

/** The number of the newest event before which one is missing; null if there is none. */
function gapIn(newestFirst) {
  for (const [index, { seq }] of newestFirst.entries()) {
    if (seq > 1 && newestFirst[index + 1]?.seq !== seq - 1) {
      return seq;
    }
  }
  return null;
}
