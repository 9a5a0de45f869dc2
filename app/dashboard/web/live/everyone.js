// The events of the jobs of all users, for operators, while a page shows them. Again one stream for all tabs.

import { watch } from "../core/signal.js";
import { Live } from "./live.js";

const QUERY = { scope: "all", coalesce_ms: 250 };

/**
 * Return a function that follows the jobs of all users while it was last called with true.
 *
 * `onEvents` gets the newest event of each job, as those of the reader's own jobs; `onLost(until)` is called
 * when events may have been missed.
 */
export function everyone(app, signal, { onEvents, onLost = () => {} }) {
  let following = null;

  return (isWanted) => {
    if (isWanted === (following !== null)) {
      return;
    }
    following?.abort();
    following = isWanted ? new AbortController() : null;
    if (following !== null) {
      follow(AbortSignal.any([signal, following.signal]));
    }
  };

  function follow(until) {
    const live = new Live(app.session, { suffix: ".all", query: QUERY, signal: until });
    live.inbox.onEvents(onEvents, until);
    live.onLost(onLost, until);
    watch(app.paused, (isPaused) => live.inbox.pause(isPaused), until);
    live.start();
  }
}
