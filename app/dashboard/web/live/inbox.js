// The events that were not shown yet: the newest of each job, and all of those jobs that a page follows.

const MAX_JOBS = 20_000;

/** Collects events, and passes them on at most once a frame. */
export class Inbox {
  #newest = new Map(); // job id → {event, created}
  #followed = new Map(); // job id → its events
  #readers = new Set();
  #followers = new Map(); // job id → set of readers
  #tickers = new Set();
  #losers = new Set();
  #isDue = false;
  #isPaused = false;
  #pausing = new AbortController();
  #hasLost = false; // while paused

  /** How many jobs have events that are not shown. */
  get size() {
    return this.#newest.size;
  }

  /** Call `run` with the newest event of each job that had one: `[{event, created}]`. */
  onEvents(run, signal) {
    add(this.#readers, run, signal);
  }

  /** Call `run` with all events of one job, in order. */
  onJob(jobId, run, signal) {
    const runs = this.#followers.get(jobId) ?? new Set();
    this.#followers.set(jobId, runs);
    add(runs, run, signal, () => runs.size === 0 && this.#followers.delete(jobId));
  }

  /** Call `run` once a second, on the second of the server. */
  onTick(run, signal) {
    add(this.#tickers, run, signal);
  }

  /**
   * Call `run(until)` when events may have been missed, but not while paused.
   *
   * A pause aborts `until`: what was loaded is not to be shown then, and `run` is called again after the pause.
   */
  onLost(run, signal) {
    add(this.#losers, run, signal);
  }

  put(events) {
    for (const event of events) {
      const { job_id: jobId } = event;
      const known = this.#newest.get(jobId);
      if (known === undefined || event.seq > known.event.seq) {
        this.#newest.set(jobId, {
          event,
          created: event.type === "created" ? event : (known?.created ?? null),
        });
      }
      if (this.#followers.has(jobId)) {
        if (!this.#followed.has(jobId)) {
          this.#followed.set(jobId, []);
        }
        this.#followed.get(jobId).push(event);
      }
    }
    if (this.#newest.size > MAX_JOBS) {
      this.clear();
      this.lose();
    }
    this.#schedule();
  }

  /** Keep what arrives from now on, or show it. */
  pause(isPaused) {
    this.#isPaused = isPaused;
    if (isPaused) {
      this.#pausing.abort();
      return;
    }
    this.#pausing = new AbortController();
    if (this.#hasLost) {
      this.#hasLost = false;
      this.lose();
    }
    this.flush();
  }

  /** Show what has arrived, on the next frame. A hidden tab has none. */
  flush() {
    if (this.#newest.size > 0) {
      this.#schedule();
    }
  }

  tick() {
    for (const run of this.#tickers) {
      run();
    }
  }

  async lose() {
    if (this.#isPaused) {
      this.#hasLost = true;
      return;
    }
    const { signal } = this.#pausing;
    await Promise.all([...this.#losers].map((run) => run(signal)));
    if (signal.aborted) {
      await this.lose();
    }
  }

  clear() {
    this.#newest.clear();
    this.#followed.clear();
  }

  #schedule() {
    if (!this.#isDue && !this.#isPaused) {
      this.#isDue = true;
      requestAnimationFrame(() => this.#deliver());
    }
  }

  #deliver() {
    this.#isDue = false;
    if (this.#isPaused || this.#newest.size === 0) {
      return;
    }
    const newest = [...this.#newest.values()];
    const followed = [...this.#followed];
    this.clear();
    for (const run of this.#readers) {
      run(newest);
    }
    for (const [jobId, events] of followed) {
      for (const run of this.#followers.get(jobId) ?? []) {
        run(events);
      }
    }
  }
}

function add(runs, run, signal, onRemoved = () => {}) {
  runs.add(run);
  signal?.addEventListener(
    "abort",
    () => {
      runs.delete(run);
      onRemoved();
    },
    { once: true },
  );
}
