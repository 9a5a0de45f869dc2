// One connection to the stream of events: a state machine that reconnects by itself.
//
// A ticket works once, so the browser's own reconnection is never used: after every error the source is closed,
// and the next connection has a new ticket. `place` is the id of the last event, from which the next one resumes.

import { address, Problem, send } from "../api/request.js";

const STALLED_MILLISECONDS = 4000; // the clock ticks every second
const TICKET_MILLISECONDS = 10_000;
const PAUSES_SECONDS = [2, 2, 2, 4, 8, 15];
const STEADY_MILLISECONDS = 10_000;
const JITTER_MILLISECONDS = 300;
const READY_MILLISECONDS = 2000;
const MAX_FAILED_RESUMES = 3;
const FRAMES = ["ready", "update", "complete", "time_update", "stats"];

/**
 * Connect until `signal` aborts.
 *
 * Calls `onState` with `{name, …}`, `onFrame(type, data, place)` with each frame, and `onLost()` when the stream
 * cannot resume from its place, so that the page has to load its data anew.
 */
export async function connect(session, { place, signal, onState, onFrame, onLost, query = {} }) {
  let failures = 0;
  let failedResumes = 0;
  let stalledSince = null;

  function frame(type, data, id) {
    stalledSince = null;
    if (id !== null) {
      place = id;
      failedResumes = 0;
    }
    onFrame(type, data, id);
  }

  while (!signal.aborted) {
    onState(stalledSince === null ? { name: "connecting" } : { name: "stalled", since: stalledSince });
    const end = await open(session, { ...query, with: "clock,stats", after: place }, signal, frame, () => {
      onState({ name: "live" });
    });
    if (signal.aborted) {
      return;
    }
    if (end.liveMilliseconds >= STEADY_MILLISECONDS) {
      failures = 0;
    }
    if (end.reason === "shutdown") {
      console.info("Server is shutting down, closing connection...");
      onState({ name: "restarting" });
      await untilReady(signal);
      failures = 0;
      continue;
    }
    if (end.reason === "access_ended") {
      continue; // a new ticket shows whether the session goes on
    }
    if (end.reason === "stalled") {
      stalledSince = end.since;
      continue;
    }
    if (end.reason === "refused" && end.problem.status === 429) {
      onState({ name: "toomany" });
      await pause((end.problem.retryAfter ?? 5) * 1000, signal);
      continue;
    }
    failedResumes += end.hasOpened || place === null ? 0 : 1;
    if (failedResumes >= MAX_FAILED_RESUMES && end.reason === "closed") {
      // Places do not survive a restored database.
      place = null;
      failedResumes = 0;
      onLost();
    }
    const seconds = PAUSES_SECONDS[Math.min(failures, PAUSES_SECONDS.length - 1)];
    failures += 1;
    await countDown(seconds * 1000 + Math.random() * JITTER_MILLISECONDS, signal, stalledSince, onState);
  }
}

/** Open one connection and read it to its end. Returns why it ended. */
async function open(session, query, signal, onFrame, onLive) {
  let ticket;
  try {
    ({ ticket } = await session.post("stream-tickets", {}, { signal, timeout: TICKET_MILLISECONDS }));
  } catch (problem) {
    if (!(problem instanceof Problem) && !signal.aborted) {
      throw problem;
    }
    return { reason: "refused", problem, liveMilliseconds: 0, hasOpened: false };
  }
  const source = new EventSource(address("jobs/stream", { ...query, ticket }));
  const { promise, resolve } = Promise.withResolvers();
  let liveAt = null;
  let heardAt = performance.now();

  const stop = () => resolve({ reason: "stopped" });
  signal.addEventListener("abort", stop, { once: true });
  const watch = setInterval(() => {
    // A computer that slept has missed more than one look.
    if (performance.now() - heardAt > STALLED_MILLISECONDS) {
      resolve({ reason: "stalled", since: Date.now() - (performance.now() - heardAt) });
    }
  }, 500);
  for (const type of FRAMES) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      heardAt = performance.now();
      if (liveAt === null) {
        liveAt = heardAt;
        onLive();
      }
      const hasId = type !== "time_update" && type !== "stats";
      onFrame(type, JSON.parse(data), hasId ? lastEventId.split(".")[0] : null);
    });
  }
  source.addEventListener("shutdown", () => resolve({ reason: "shutdown" }));
  // With data it is the server's; without, the connection was lost or refused.
  source.addEventListener("error", ({ data }) =>
    resolve({ reason: data === undefined ? "closed" : "access_ended" }),
  );
  try {
    const end = await promise;
    return {
      ...end,
      liveMilliseconds: liveAt === null ? 0 : performance.now() - liveAt,
      hasOpened: liveAt !== null,
    };
  } finally {
    source.close();
    clearInterval(watch);
    signal.removeEventListener("abort", stop);
  }
}

/** Return when the server takes requests again. */
async function untilReady(signal) {
  while (!signal.aborted) {
    await pause(READY_MILLISECONDS, signal, { isHasty: false });
    try {
      await send("GET", "health/ready", { signal, timeout: TICKET_MILLISECONDS });
      return;
    } catch {
      // Not yet.
    }
  }
}

async function countDown(milliseconds, signal, stalledSince, onState) {
  const until = Date.now() + milliseconds;
  onState(
    stalledSince === null ? { name: "waiting", until } : { name: "stalled", since: stalledSince, until },
  );
  await pause(milliseconds, signal);
}

/** Wait; a network that is back and a page that becomes visible end it early. */
function pause(milliseconds, signal, { isHasty = true } = {}) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const done = () => {
      clearTimeout(timer);
      ended.abort();
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { signal: ended.signal });
    if (isHasty) {
      addEventListener("online", done, { signal: ended.signal });
      document.addEventListener("visibilitychange", () => document.hidden || done(), {
        signal: ended.signal,
      });
    }
    if (signal.aborted) {
      done();
    }
  });
}
