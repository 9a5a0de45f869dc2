// Loads data again while it changes: soon after events, and now and then without any.

const BUSY_MILLISECONDS = 2000;
const QUIET_MILLISECONDS = 15_000;

/**
 * Call `refresh` every two seconds while events arrive and the page is seen, else every 15 seconds.
 *
 * `isAbout(event)` may choose the events that count. `refresh(hasChanged)` is told whether there was one. Returns a
 * function that says that there was another one.
 */
export function poll(
  app,
  signal,
  refresh,
  { busy = BUSY_MILLISECONDS, quiet = QUIET_MILLISECONDS, isAbout = () => true } = {},
) {
  let isDue = false;
  let at = performance.now();
  let isRunning = false;

  async function look() {
    const waited = performance.now() - at;
    if (
      document.hidden ||
      document.querySelector("[popover]:popover-open") !== null ||
      app.paused.peek() ||
      isRunning ||
      !(isDue ? waited >= busy : waited >= quiet)
    ) {
      return;
    }
    const hasChanged = isDue;
    isDue = false;
    isRunning = true;
    at = performance.now();
    try {
      await refresh(hasChanged);
    } finally {
      isRunning = false;
    }
  }

  app.live.inbox.onEvents((events) => {
    isDue ||= events.some(({ event }) => isAbout(event));
  }, signal);
  app.live.onLost(() => {
    isDue = true;
  }, signal);
  const timer = setInterval(look, 500);
  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return () => {
    isDue = true;
  };
}

/** What `poll` calls for several loads: all of them when something has changed, else each in its turn. */
export function inTurn(...loads) {
  let next = 0;
  return async (hasChanged) => {
    if (hasChanged) {
      await Promise.all(loads.map((load) => load()));
      return;
    }
    next += 1;
    await loads[(next - 1) % loads.length]();
  };
}
