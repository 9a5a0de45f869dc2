// The events of a job: the first and the last ones, and those that arrive.

const PAGE = 200;
const FIRST = 50;

/** The events that are loaded, by number. */
export class JobEvents {
  lastSeq = 0;
  #session;
  #id;
  #signal;
  #bySeq = new Map();
  #filling = null;

  constructor(session, id, signal) {
    this.#session = session;
    this.#id = id;
    this.#signal = signal;
  }

  /** The loaded events, newest first. */
  get newestFirst() {
    return [...this.#bySeq.values()].toSorted((one, other) => other.seq - one.seq);
  }

  /** Load the first and the last events. */
  async load() {
    const start = await this.#page(0, FIRST);
    this.#keep(start);
    if (start.last_seq > FIRST) {
      this.#keep(await this.#page(Math.max(start.last_seq - PAGE, FIRST), PAGE));
    }
  }

  /** Load what has been missed. */
  fill() {
    this.#filling ??= this.#page(this.lastSeq, PAGE)
      .then((page) => this.#keep(page))
      .catch((problem) => {
        if (problem.status === undefined && !this.#signal.aborted) {
          throw problem;
        }
      })
      .finally(() => {
        this.#filling = null;
      });
    return this.#filling;
  }

  /** Load the events before a number. */
  async before(seq) {
    this.#keep(await this.#page(Math.max(seq - 1 - PAGE, 0), PAGE));
  }

  add(event) {
    this.#bySeq.set(event.seq, event);
    this.lastSeq = Math.max(this.lastSeq, event.seq);
    // A long job has very many; those in the middle can be loaded again.
    if (this.#bySeq.size > 5 * PAGE) {
      for (const seq of [...this.#bySeq.keys()]
        .toSorted((one, other) => one - other)
        .slice(FIRST, FIRST + PAGE)) {
        this.#bySeq.delete(seq);
      }
    }
  }

  #page(after, limit) {
    return this.#session.get(`jobs/${this.#id}/events`, { after, limit }, this.#signal);
  }

  #keep({ items, last_seq: lastSeq }) {
    for (const event of items) {
      this.#bySeq.set(event.seq, event);
    }
    this.lastSeq = Math.max(this.lastSeq, lastSeq);
    return lastSeq;
  }
}
