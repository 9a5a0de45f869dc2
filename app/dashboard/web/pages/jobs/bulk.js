// Actions on many jobs: those that are ticked, or all that the filters select.

import { h, put } from "../../core/h.js";
import { isCancellable, isRetryable } from "../../parts/job-actions.js";
import { runSlices } from "../../parts/slices.js";
import { queryOf } from "./store.js";

const SLICE = 1000;
const TYPED_ABOVE = 100;

/**
 * Create the bar: `{element, update()}`.
 *
 * `selection` is `{ids, all}`: ticked ids, or with `all` the frozen filter of everything that matches.
 */
export function bulkBar(app, { selection, store, matching, onDone }) {
  const { t, words, format } = app;
  const element = h("div", { class: "bulk", role: "region", hidden: true });

  function update() {
    const count = selection.all === null ? selection.ids.size : null;
    element.hidden = count === 0;
    if (element.hidden) {
      return;
    }
    const jobs = [...selection.ids].map((id) => store().byId.get(id)).filter(Boolean);
    const cancellable = jobs.filter(isCancellable).length;
    const retryable = jobs.filter(isRetryable).length;
    const isAll = selection.all !== null;
    const act = (action, key, jobCount, isDangerous = false) =>
      (isAll || jobCount > 0) &&
      h(
        "button",
        {
          type: "button",
          class: isDangerous ? "danger" : "plain-button",
          onclick: () => start(app, action, selection, onDone),
        },
        isAll ? t(key) : `${t(key)} (${format.number(jobCount)})`,
      );
    put(
      element,
      h(
        "strong",
        null,
        isAll
          ? t("jobs.match", { n: format.capped(selection.all.count) })
          : words.count("jobs.selected", count, format.number(count)),
      ),
      !isAll &&
        h(
          "button",
          { type: "button", class: "quiet", onclick: selection.selectAll },
          t("jobs.select.all", { n: format.capped(matching()) }),
        ),
      h("span", { class: "spring" }),
      act("retry", "act.retry", retryable),
      act("retry_from_start", "act.retry.start", retryable),
      act("cancel", "act.cancel", cancellable, true),
      h("button", { type: "button", class: "quiet", onclick: selection.clear }, t("act.clear")),
    );
    element.setAttribute(
      "aria-label",
      words.count("jobs.selected", count ?? 2, format.number(count ?? selection.all.count)),
    );
  }

  return { element, update };
}

async function start(app, action, selection, onDone) {
  try {
    const scope =
      selection.all === null
        ? { ids: [...selection.ids] }
        : { filter: bodyOf(selection.all.filters, selection.all.before) };
    const preview =
      scope.filter &&
      (await app.session.post(
        "jobs/bulk-actions",
        { action, filter: scope.filter, dry_run: true },
        { query: ownerOf(selection) },
      ));
    const count = preview ? preview.eligible : scope.ids.length;
    if (!(await agreed(app, action, count, preview))) {
      return;
    }
    await run(app, action, scope, count, selection, onDone);
  } catch (problem) {
    app.fail(problem);
  }
}

function agreed(app, action, count, preview) {
  const { t, format, notices } = app;
  const n = format.capped(count);
  const isCancel = action === "cancel";
  const ended =
    preview === undefined
      ? 0
      : ["completed", "failed", "cancelled"].reduce((sum, state) => sum + (preview.matched[state] ?? 0), 0);
  const counts =
    preview &&
    t("jobs.bulk.cancel.text", {
      pending: format.number(preview.matched.pending ?? 0),
      running: format.number(preview.matched.running ?? 0),
      ended: format.number(ended),
    });
  return notices.ask({
    title: t(isCancel ? "jobs.bulk.cancel" : "jobs.bulk.retry", { n }),
    text: isCancel ? (counts ?? []) : action === "retry" ? t("jobs.bulk.retry.text") : [],
    action: t(isCancel ? "act.cancel" : action === "retry" ? "act.retry" : "act.retry.start"),
    isDangerous: action !== "retry",
    typed: count > TYPED_ABOVE ? format.number(count) : null,
  });
}

async function run(app, action, scope, count, selection, onDone) {
  const failed = await runSlices(app, {
    title: app.t(action === "cancel" ? "act.cancel" : "act.retry"),
    count,
    slices: async function* (stop) {
      for await (const answer of slices(app.session, action, scope, ownerOf(selection), stop)) {
        yield { ...answer, failed: answer.failed.map((one) => one.job_id) };
      }
    },
  });
  onDone(failed);
}

async function* slices(session, action, scope, query, stop) {
  if (scope.ids !== undefined) {
    for (let start = 0; start < scope.ids.length && !stop.aborted; start += SLICE) {
      yield await session.post(
        "jobs/bulk-actions",
        { action, job_ids: scope.ids.slice(start, start + SLICE) },
        { query },
      );
    }
    return;
  }
  let cursor = null;
  do {
    // Not with the signal: a slice that was sent is counted.
    const answer = await session.post(
      "jobs/bulk-actions",
      { action, filter: scope.filter, ...(cursor && { cursor }) },
      { query },
    );
    yield answer;
    cursor = answer.next_cursor;
  } while (cursor !== null && !stop.aborted);
}

/** The filter of the request: as that of the list, with lists for what may be repeated. */
function bodyOf({ status, priority, owner, ...filters }, before) {
  const { metadata, ...rest } = filters;
  return {
    ...rest,
    created_before: rest.created_before ?? before,
    ...(metadata && { metadata: { [metadata.key]: metadata.value } }),
    ...(status && { status: [status] }),
    ...(priority && { priority: [priority] }),
  };
}

function ownerOf(selection) {
  return { owner: queryOf(selection.all?.filters ?? {}).owner };
}
