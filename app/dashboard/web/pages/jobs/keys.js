// The keys of the list: j and k move, x ticks, c cancels, r retries.

import { cancelJob, isCancellable, isRetryable, retryJob } from "../../parts/job-actions.js";

const FIELDS = "input:not([type=checkbox]), textarea, select, dialog, [popover]";

/** Listen to keys while the page is open. `store()` has the rows, `change(job)` shows one that has changed. */
export function listKeys(app, signal, { rows, store, selection, change }) {
  async function act(event) {
    const isElsewhere =
      event.key === undefined || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
    if (isElsewhere || event.target.closest(FIELDS) || !app.preferences.singleKeys.peek()) {
      return;
    }
    const all = store().rows;
    const here = rows.focused();
    const job = here === null ? null : all[here];
    const key = event.key.toLowerCase();
    if ((key === "j" || key === "k") && all.length > 0) {
      event.preventDefault();
      rows.focus(here === null ? 0 : Math.min(Math.max(here + (key === "j" ? 1 : -1), 0), all.length - 1));
    } else if (job !== null && key === "x") {
      event.preventDefault();
      selection.tick(job.job_id, event.shiftKey || !selection.has(job.job_id), event.shiftKey);
    } else if (job !== null && app.can("submit")) {
      const action = { c: isCancellable(job) && cancelJob, r: isRetryable(job) && retryJob }[key];
      if (action) {
        event.preventDefault();
        const now = await action(app, job);
        if (now !== null) {
          change(now);
        }
      }
    }
  }

  document.addEventListener("keydown", act, { signal });
}
