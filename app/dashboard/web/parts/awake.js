// Keeps the display awake, where the browser can: it needs HTTPS, and a page that is seen.

/** Hold a wake lock until `signal` aborts. The browser ends it whenever the page is hidden. */
export function stayAwake(signal) {
  if (navigator.wakeLock === undefined) {
    return;
  }
  let held = null;

  async function hold() {
    if (document.hidden || (held !== null && !held.released)) {
      return;
    }
    try {
      held = await navigator.wakeLock.request("screen");
    } catch {
      return; // the system saves power, or does not allow it; the page works without
    }
    if (signal.aborted) {
      held.release();
    }
  }

  document.addEventListener("visibilitychange", hold, { signal });
  signal.addEventListener("abort", () => held?.release(), { once: true });
  hold();
}
