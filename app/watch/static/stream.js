// A job's event log, live and whole: what one connection misses, the next one brings.

const FIRST_PAUSE_MILLISECONDS = 250;
const LONGEST_PAUSE_MILLISECONDS = 5_000;

/**
 * Follow a job until its end: every event once, in order, over as many connections as it takes.
 *
 * `onEvent` gets each event, `onConnection` "connecting", "live" or "waiting". A ticket opens one stream only, so
 * the browser's own way to reconnect is of no use here: each connection gets a ticket of its own, and goes on
 * after the last event seen. Throws the Problem that no further try would solve, or an AbortError.
 */
export async function follow(api, jobId, { signal, onEvent, onConnection }) {
  let seen = 0;
  let isAtEnd = false;
  let failures = 0;

  function take(event, isFinal) {
    if (event.seq <= seen) {
      return true;
    }
    if (event.seq !== seen + 1) {
      return false;
    }
    seen = event.seq;
    isAtEnd = isFinal;
    failures = 0;
    onConnection("live");
    onEvent(event);
    return true;
  }

  while (true) {
    try {
      // A job that was tried again has an end in the middle of its log: only the last one counts.
      if (isAtEnd && (await api.lastSeq(jobId, signal)) === seen) {
        return;
      }
      onConnection("connecting");
      const url = await api.streamUrl(jobId, seen, signal);
      await listen(url, { signal, take, onOpen: () => onConnection("live") });
      if (isAtEnd) {
        continue;
      }
    } catch (error) {
      if (!error.isTemporary) {
        throw error;
      }
    }
    onConnection("waiting");
    await pause(pauseMilliseconds(failures), signal);
    failures += 1;
  }
}

/** Take events from one connection until it is over, for whatever reason; throws only an AbortError. */
function listen(url, { signal, take, onOpen }) {
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
      if (!take(JSON.parse(data), false)) {
        close();
      }
    });
    source.addEventListener("complete", ({ data }) => {
      take(JSON.parse(data), true);
      close();
    });
    source.addEventListener("shutdown", close);
    // The connection is lost, was refused, or the server says `error`: the next ticket tells which it is.
    source.addEventListener("error", close);
  });
}

/** Longer after each failure, and never the same for all who lost the same server. */
function pauseMilliseconds(failures) {
  const longest = Math.min(LONGEST_PAUSE_MILLISECONDS, FIRST_PAUSE_MILLISECONDS * 2 ** failures);
  return longest * (0.5 + Math.random() / 2);
}

function pause(milliseconds, signal) {
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
