// An action on many objects, in slices: with progress, a button to stop, and one summary at the end.

import { h } from "../core/h.js";
import { sentenceOf } from "./problems.js";

/**
 * Run the slices of an action and say what became of it. Returns the ids of the objects that failed.
 *
 * `slices(stop)` yields `{changed, skipped, failed}` for each slice that was sent, where `failed` are ids, and ends
 * soon after `stop` is aborted. `count` is about how many objects there are.
 */
export async function runSlices(app, { title, count, slices }) {
  const { t, format, notices } = app;
  const stop = new AbortController();
  const text = h("p", { role: "status" });
  const meter = h("progress", { max: Math.max(count, 1), value: 0, "aria-label": t("jobs.c.progress") });
  const total = { changed: 0, failed: [], done: 0 };
  const show = () => {
    meter.value = total.done;
    text.textContent = t("jobs.bulk.run", { done: format.number(total.done), n: format.number(count) });
  };
  const finished = new AbortController();
  show();
  const dialog = notices.dialog(
    title,
    [
      text,
      meter,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "plain-button", onclick: () => stop.abort() }, t("act.stop")),
      ),
    ],
    { signal: finished.signal, canCancel: false },
  );
  let failure = null;
  try {
    for await (const { changed, skipped, failed } of slices(stop.signal)) {
      total.changed += changed;
      total.failed.push(...failed);
      total.done += changed + skipped + failed.length;
      show();
    }
  } catch (problem) {
    failure = problem;
  }
  finished.abort();
  await dialog;
  if (failure !== null && failure.status === undefined && failure.name !== "AbortError") {
    throw failure;
  }
  const stopped = t("jobs.bulk.stopped", { done: format.number(total.done), n: format.number(count) });
  const summary =
    stop.signal.aborted || failure !== null
      ? stopped
      : t("done.bulk", { ok: format.number(total.changed), failed: format.number(total.failed.length) });
  const hasFailed = failure?.status !== undefined;
  notices.toast(hasFailed ? `${sentenceOf(app, failure)} ${stopped}` : summary, {
    kind: total.failed.length > 0 || hasFailed ? "bad" : "ok",
  });
  return total.failed;
}
