// One job: what happened to it, what it has stored, and where it is now.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { poll } from "../../parts/polling.js";
import { fault, skeletonRows } from "../../parts/resource.js";
import { patch } from "../jobs/store.js";
import { activity } from "./activity.js";
import { JobEvents } from "./events.js";
import { head } from "./head.js";
import { progress } from "./progress.js";
import { tabs } from "./tabs.js";
import { why } from "./why.js";

const TEXT_MILLISECONDS = 250; // numbers change at most four times a second
const SHARDS_MILLISECONDS = 1000;
const MAX_SHARDS = 1000;

/** Open the page. */
export async function open(root, { id, query, isEmbedded = false }, signal, app) {
  const { t, session, live } = app;
  const title = h(isEmbedded ? "h2" : "h1", null, t("nav.jobs"));
  app.title(t("nav.jobs"));
  put(root, title, skeletonRows(6));
  const state = { job: null, attempts: [], ledger: null, shards: null };
  let parts = [];

  async function load() {
    state.job = await session.get(`jobs/${id}`, { include: "attempts" }, signal);
    state.attempts = state.job.attempts;
    await (state.job.shards === null ? loadLedger() : loadShards());
  }

  async function loadShards() {
    state.shards = await session.get(`jobs/${id}/shards`, { limit: MAX_SHARDS }, signal);
  }

  async function loadLedger() {
    try {
      state.ledger = await session.get(`jobs/${id}/ledger`, {}, signal);
    } catch (problem) {
      if (problem.status !== 410) {
        throw problem;
      }
      state.ledger = null;
    }
  }

  async function reload() {
    try {
      await load();
      showAll();
    } catch (problem) {
      if (!signal.aborted && problem.status === undefined) {
        throw problem;
      }
    }
  }

  // What happens between the first answer and the first event that is followed.
  let hasMissed = false;
  const loading = new AbortController();
  const until = AbortSignal.any([signal, loading.signal]);
  live.onLost(() => (hasMissed = true), until);
  live.inbox.onJob(id, () => (hasMissed = true), until);
  try {
    await load();
  } catch (problem) {
    loading.abort();
    if (signal.aborted || problem.status === undefined) {
      if (!signal.aborted) {
        throw problem;
      }
      return;
    }
    const isGone = problem.status === 404 || problem.status === 403 || problem.status === 422;
    put(
      root,
      title,
      isGone
        ? h(
            "div",
            { class: "empty" },
            h("p", null, t("job.none")),
            h("a", { href: to("jobs") }, t("nav.jobs")),
          )
        : fault(app, problem, { signal, onRetry: () => open(root, { id, query, isEmbedded }, signal, app) }),
    );
    return;
  }
  const events = new JobEvents(session, id, signal);
  parts = [
    head(app, state, { isEmbedded, signal, onChanged: change }),
    progress(app, state, signal),
    tabs(app, state, events, { signal, query, isEmbedded }),
    why(app, state, signal),
    activity(app, state, events, signal),
  ];
  const hadFocus = title === document.activeElement;
  const [top, flow, middle, reason, happened] = parts.map((part) => part.element);
  put(
    root,
    top,
    flow,
    h("div", { class: "job-grid" }, middle, h("div", { class: "aside" }, reason, happened)),
  );
  if (hadFocus) {
    const heading = root.querySelector("h1");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  showAll();

  function showAll() {
    for (const part of parts) {
      part.update();
    }
  }

  function change(job) {
    if (job !== null) {
      Object.assign(state.job, job);
      showAll();
    }
  }

  // Events change the state at once, the bars on the next frame, and the texts four times a second.
  let isDue = false;
  let isEnding = false;
  live.inbox.onJob(
    id,
    (found) => {
      for (const event of found) {
        if (event.seq > events.lastSeq + 1) {
          events.fill().then(paint); // some were missed
        }
        events.add(event);
        store(event);
      }
      parts.forEach((part) => part.move?.());
      paint();
    },
    signal,
  );
  live.onLost(() => {
    events.fill();
    reload();
  }, signal);
  if (state.job.shards !== null) {
    poll(app, signal, followShards, {
      busy: SHARDS_MILLISECONDS,
      isAbout: (event) => event.job_id === id,
    });
  }

  /** The events of the job do not say which of its shards are how far. */
  async function followShards() {
    try {
      if (state.job.completed_at === null) {
        await loadShards();
        showAll();
      }
    } catch (problem) {
      if (!signal.aborted && problem.status === undefined) {
        throw problem;
      }
    }
  }

  function store(event) {
    const { job, ledger } = state;
    patch(job, event);
    if (event.type === "progress" && ledger !== null) {
      addToLedger(ledger, event);
    } else if (event.type !== "progress") {
      isEnding = true; // what the event does not say: attempts, worker, result
    }
  }

  function paint() {
    if (isDue) {
      return;
    }
    isDue = true;
    setTimeout(async () => {
      if (signal.aborted) {
        return;
      }
      try {
        if (isEnding) {
          isEnding = false;
          await reload();
        } else {
          showAll();
        }
      } finally {
        isDue = false;
      }
      if (isEnding) {
        paint(); // it came while the last one was loaded
      }
    }, TEXT_MILLISECONDS);
  }

  if (!isEmbedded) {
    announceEnd(app, state, signal);
  }
  await events.load();
  loading.abort();
  const [last] = events.newestFirst;
  if (hasMissed || (last && (last.status !== state.job.status || last.attempt !== state.job.attempt))) {
    await reload();
  }
  showAll();
}

/** Add a stored batch to the runs. Events carry absolute state, so one that comes twice changes nothing. */
function addToLedger(ledger, event) {
  if (event.batch < ledger.stored) {
    return;
  }
  const run = ledger.runs.at(-1);
  if (run === undefined || run.attempt !== event.attempt) {
    ledger.runs.push({ attempt: event.attempt, first: ledger.stored, last: event.batch, rows: 0 });
  } else {
    run.last = event.batch;
  }
  ledger.stored = event.batch + 1;
  ledger.batches = ledger.batches === null ? null : Math.max(ledger.batches, ledger.stored);
}

function announceEnd(app, state, signal) {
  let was = state.job.status;
  app.live.inbox.onJob(
    state.job.job_id,
    () => {
      const { job } = state;
      if (was !== job.status && ["completed", "failed", "cancelled"].includes(job.status)) {
        app.notices.say(
          app.t("job.ended", { id: job.job_id.slice(0, 8), state: app.t(`state.${job.status}`) }),
        );
      }
      was = job.status;
    },
    signal,
  );
}
