// Events for this tab. One tab of the browser has the stream, and passes its frames on to the others.

import { own } from "../core/places.js";
import { signal as value } from "../core/signal.js";
import { connect } from "./connection.js";
import { Inbox } from "./inbox.js";

const POST_MILLISECONDS = 50;
const HIDDEN_MILLISECONDS = 60_000;
const OFFSETS = 5;

/**
 * The state of the connection, the time of the server, counts of jobs, and events.
 *
 * `state` is `{name, …}`: `connecting`, `live`, `waiting`, `stalled`, `restarting`, `toomany` or `idle`. `stats` is
 * the last frame of that name. `lostAt` is when the connection was lost, null while it is live.
 */
export class Live {
  state = value({ name: "connecting" });
  stats = value(null);
  lostAt = value(null);
  inbox = new Inbox();

  #session;
  #query;
  #lock;
  #channel;
  #place = null;
  #posted = [];
  #isLeader = false;
  #offsets = [];
  #stop = new AbortController();
  #release = () => {};
  #isClosed = false;

  /** `suffix` tells the names of a stream with another `query` from those of the usual one; it ends with `signal`. */
  constructor(session, { suffix = "", query = {}, signal } = {}) {
    this.#session = session;
    this.#query = query;
    this.#lock = own(`stream${suffix}`);
    this.#channel = new BroadcastChannel(own(`live${suffix}`));
    if (navigator.locks !== undefined) {
      this.#channel.addEventListener("message", ({ data }) => this.#hear(data));
    } // without locks each tab has a stream, and needs nothing from the others
    document.addEventListener("visibilitychange", () => this.#seen(), { signal });
    addEventListener("pagehide", () => this.#release(), { signal });
    signal?.addEventListener("abort", () => this.#close(), { once: true });
  }

  /** The time of the server: ours, corrected by the median of what its last ticks said. */
  now = () => {
    const sorted = this.#offsets.toSorted((one, other) => one - other);
    return Date.now() + (sorted[sorted.length >> 1] ?? 0);
  };

  /** Begin. */
  start() {
    this.#stop = new AbortController();
    this.#send({ type: "hello" });
    this.#seen();
  }

  /** End, for example when the reader signs out. */
  stop() {
    this.#stop.abort();
    this.#release();
    this.#place = null;
    this.inbox.clear();
    this.stats.value = null;
    this.lostAt.value = null;
  }

  /** Call `run(until)` when events may have been missed, so that data has to be loaded anew: see `Inbox`. */
  onLost(run, signal) {
    this.inbox.onLost(run, signal);
  }

  #close() {
    this.stop();
    this.#isClosed = true;
    this.#channel.close();
  }

  /** Take part in the choice of the tab that has the stream. Only a tab that is seen does. */
  #seen() {
    if (document.hidden) {
      this.#send({ type: "hidden" });
      return;
    }
    this.inbox.flush();
    if (this.#stop.signal.aborted) {
      return;
    }
    this.#send({ type: "seen" });
    if (!this.#isLeader) {
      this.#lead();
    }
  }

  async #lead() {
    const leaving = new AbortController();
    this.#isLeader = true; // or waits to be
    this.#release = () => leaving.abort();
    const until = AbortSignal.any([leaving.signal, this.#stop.signal]);
    const hidden = watchHidden(() => leaving.abort(), until);
    try {
      if (navigator.locks === undefined) {
        await this.#run(until); // no choice without locks, which need HTTPS: each tab has a stream
      } else {
        await navigator.locks.request(this.#lock, { signal: until }, () => this.#run(until));
      }
    } catch (error) {
      if (!until.aborted) {
        throw error;
      }
    } finally {
      hidden();
      this.#isLeader = false;
    }
    if (!document.hidden && !this.#stop.signal.aborted) {
      this.#lead();
    }
  }

  async #run(signal) {
    const posting = setInterval(() => this.#post(), POST_MILLISECONDS);
    try {
      await connect(this.#session, {
        place: this.#place,
        query: this.#query,
        signal,
        onState: (state) => this.#tell({ type: "state", state }),
        onFrame: (type, data, place) => this.#frame(type, data, place),
        onLost: () => this.#tell({ type: "lost" }),
      });
    } finally {
      clearInterval(posting);
      this.#post();
      this.#tell({ type: "state", state: { name: "idle" } });
    }
  }

  #frame(type, data, place) {
    if (type === "ready" && this.#place === null) {
      this.#tell({ type: "lost" }); // what happened before is in no event
    }
    this.#place = place ?? this.#place;
    if (type === "update" || type === "complete") {
      this.#posted.push(data);
      this.inbox.put([data]);
    } else if (type === "time_update") {
      this.#tell({ type, offset: Date.parse(data.date) - Date.now() });
    } else if (type === "stats") {
      this.#tell({ type, stats: data });
    }
  }

  #post() {
    if (this.#posted.length > 0) {
      this.#send({ type: "events", events: this.#posted, place: this.#place });
      this.#posted = [];
    }
  }

  #send(message) {
    if (!this.#isClosed) {
      this.#channel.postMessage(message);
    }
  }

  #tell(message) {
    this.#send(message);
    this.#hear(message);
  }

  #hear(message) {
    switch (message.type) {
      case "events":
        this.#place = message.place;
        this.inbox.put(message.events);
        break;
      case "state":
        this.#show(message.state);
        break;
      case "time_update":
        this.#offsets = [...this.#offsets, message.offset].slice(-OFFSETS);
        this.inbox.tick();
        break;
      case "stats":
        this.stats.value = message.stats;
        break;
      case "lost":
        this.inbox.lose();
        break;
      case "hello":
        if (this.#isLeader && this.state.peek().name === "live") {
          this.#send({ type: "state", state: this.state.peek() });
          this.#send({ type: "stats", stats: this.stats.peek() });
        }
        break;
      case "seen":
        if (document.hidden) {
          this.#release(); // the reader looks at that tab
        }
        break;
      case "hidden":
        if (!document.hidden) {
          this.#send({ type: "seen" });
        }
        break;
    }
  }

  #show(state) {
    if (state.name === "live") {
      this.lostAt.value = null;
    } else if (state.name !== "connecting" && state.name !== "idle" && this.lostAt.peek() === null) {
      this.lostAt.value = state.since ?? Date.now();
    }
    this.state.value = state;
  }
}

/** Call `run` once the tab has been hidden for a minute. */
function watchHidden(run, signal) {
  let timer = null;
  const look = () => {
    clearTimeout(timer);
    timer = document.hidden ? setTimeout(run, HIDDEN_MILLISECONDS) : null;
  };
  document.addEventListener("visibilitychange", look, { signal });
  look();
  return () => clearTimeout(timer);
}
