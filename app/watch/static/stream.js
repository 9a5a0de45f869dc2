// Follows a job's event stream and reconnects after failures, without losing or repeating events.

const MIN_BACKOFF_MILLISECONDS = 250;
const MAX_BACKOFF_MILLISECONDS = 5_000;

/**
 * Follow a job until it ends: every event exactly once, in order, over any number of connections.
 *
 * Calls `onEvent` with each event, and `onConnection` with "connecting", "live" or "waiting". Replaces the
 * browser's automatic reconnection: each connection gets a new ticket and resumes after the last event received.
 * Throws a Problem that a retry cannot solve, or an AbortError.
 */
export async function followJob(api, jobId, { signal, onEvent, onConnection }) {
  let lastSeq = 0;
  let isAtEnd = false;
  let failures = 0;

  /** Process an event; return false if events before it are missing. */
  function accept(event, isFinal) {
    if (event.seq <= lastSeq) {
      return true;
    }
    if (event.seq !== lastSeq + 1) {
      return false;
    }
    lastSeq = event.seq;
    isAtEnd = isFinal;
    failures = 0;
    onConnection("live");
    onEvent(event);
    return true;
  }

  while (true) {
    try {
      // The log of a retried job contains earlier final events: stop only at the last one.
      if (isAtEnd && (await api.lastSeq(jobId, signal)) === lastSeq) {
        return;
      }
      onConnection("connecting");
      const url = await api.streamUrl(jobId, lastSeq, signal);
      await readStream(url, { signal, accept, onOpen: () => onConnection("live") });
      if (isAtEnd) {
        continue;
      }
    } catch (error) {
      if (!error.isTemporary) {
        throw error;
      }
    }
    onConnection("waiting");
    await sleep(backoffMilliseconds(failures), signal);
    failures += 1;
  }
}

/** Read one connection's events until it closes for any reason. Throws only an AbortError. */
function readStream(url, { signal, accept, onOpen }) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const source = new EventSource(url);

    function close() {
      source.close();
      signal.removeEventListener("abort", abort);
      resolve();
    }

    function abort() {
      source.close();
      reject(signal.reason);
    }

    signal.addEventListener("abort", abort, { once: true });
    source.addEventListener("open", onOpen);
    source.addEventListener("update", ({ data }) => {
      if (!accept(JSON.parse(data), false)) {
        close();
      }
    });
    source.addEventListener("complete", ({ data }) => {
      accept(JSON.parse(data), true);
      close();
    });
    source.addEventListener("shutdown", close);
    // The connection was lost or refused, or the server sent `error`. The next ticket request shows which.
    source.addEventListener("error", close);
  });
}

/** Exponential backoff with jitter, so that clients of a restarted server do not reconnect all at once. */
function backoffMilliseconds(failures) {
  const ceiling = Math.min(MAX_BACKOFF_MILLISECONDS, MIN_BACKOFF_MILLISECONDS * 2 ** failures);
  return ceiling * (0.5 + Math.random() / 2);
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(done, milliseconds);

    function done() {
      signal.removeEventListener("abort", abort);
      resolve();
    }

    function abort() {
      clearTimeout(timer);
      reject(signal.reason);
    }

    signal.addEventListener("abort", abort, { once: true });
  });
}
