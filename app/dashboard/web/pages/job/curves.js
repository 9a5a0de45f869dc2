// The curves of a training, as far as it has come.

import { put } from "../../core/h.js";
import { epochCurves } from "../../parts/epoch-curves.js";
import { empty } from "../../parts/resource.js";

/** Show the curves in a panel. */
export function show(panel, state, events, signal, app) {
  const curves = epochCurves(app, signal);
  let shown = null;

  function update() {
    const history = historyOf(state.job, events);
    const key = `${history.length} ${isOver(state.job)}`;
    if (key === shown) {
      return;
    }
    shown = key;
    if (history.length === 0) {
      put(panel, empty(app.t(isOver(state.job) ? "job.curves.ended" : "job.curves.none")));
      return;
    }
    if (!panel.contains(curves.element)) {
      put(panel, curves.element, curves.table);
    }
    curves.update(history);
  }

  update();
  return { update };
}

function isOver({ status }) {
  return ["completed", "failed", "cancelled"].includes(status);
}

/** The metrics of each epoch: from the result, or from the events while it runs. */
function historyOf(job, events) {
  if (job.result?.history?.length > 0) {
    return job.result.history;
  }
  return events.newestFirst
    .filter((event) => event.metrics?.epoch !== undefined)
    .map((event) => event.metrics)
    .toReversed();
}
