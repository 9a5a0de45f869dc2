// The rows of the list: in the order of the server, loaded page by page, and patched with events.

import { EVERYONE } from "./filters.js";

const PAGE = 100;
const MAX_REMEMBERED = 10;

/** The jobs that the filters select, as far as they are loaded. */
export class JobRows {
  rows = [];
  byId = new Map();
  isAtEnd = false;
  newIds = new Set(); // jobs that are not in the list yet
  hasUncounted = false; // jobs of which the events do not say whether they belong to the list
  #cursor = null;
  #loading = null;
  #round = 0; // how often the list was loaded anew

  constructor(session, filters) {
    this.session = session;
    this.filters = filters;
  }

  /** Load the first pages anew: at least one, and as many as hold `count` rows. */
  async reload(signal, count = 0) {
    const pages = [];
    let cursor = null;
    do {
      const page = await this.#fetch(cursor, signal);
      pages.push(page);
      cursor = page.next_cursor;
    } while (cursor !== null && pages.length * PAGE < count);
    this.#round += 1;
    this.rows = [];
    this.byId.clear();
    this.newIds.clear();
    this.hasUncounted = false;
    pages.forEach((page) => this.#add(page));
  }

  /** Load the next page. Returns whether there was one. */
  async more(signal) {
    if (this.isAtEnd || this.#loading !== null || this.rows.length === 0) {
      return false;
    }
    this.#loading = this.#fetch(this.#cursor, signal);
    const round = this.#round;
    try {
      const page = await this.#loading;
      if (round !== this.#round) {
        return false; // it would follow rows that are no longer the last
      }
      this.#add(page);
      return true;
    } finally {
      this.#loading = null;
    }
  }

  /** What to keep for when the reader comes back. */
  snapshot() {
    return { rows: this.rows, cursor: this.#cursor, isAtEnd: this.isAtEnd };
  }

  restore({ rows, cursor, isAtEnd }) {
    this.rows = rows;
    this.byId = new Map(rows.map((job) => [job.job_id, job]));
    this.#cursor = cursor;
    this.isAtEnd = isAtEnd;
  }

  /** Apply the newest event of a job. Returns the row, or null if it is not in the list. */
  apply({ event, created }) {
    const job = this.byId.get(event.job_id);
    if (job === undefined) {
      this.#notice(event, created);
      return null;
    }
    patch(job, event);
    return job;
  }

  /** Whether a row still belongs to the list. */
  belongs(job) {
    const { status } = this.filters;
    return !status || job.status === status;
  }

  #notice(event, created) {
    const {
      status,
      q,
      metadata,
      kind,
      queue,
      priority,
      model,
      group_id: groupId,
      schedule_id: scheduleId,
      dataset_id: datasetId,
      created_before: before,
      owner,
    } = this.filters;
    const isOfOne = owner !== undefined && owner !== EVERYONE; // no event says whose job it is
    if (before || (status && event.status !== status) || this.newIds.has(event.job_id)) {
      return;
    }
    if (created === null) {
      // A job that has come into this state; which job it is, the event does not say.
      const isFiltered =
        isOfOne || q || metadata || kind || queue || priority || model || groupId || scheduleId || datasetId;
      if (status && !isFiltered) {
        this.newIds.add(event.job_id);
      } else if (status) {
        this.hasUncounted = true;
      }
      return;
    }
    if (isOfOne || q || metadata || scheduleId || datasetId) {
      this.hasUncounted = true;
      return;
    }
    const isWanted =
      (!kind || created.kind === kind) &&
      (!queue || created.queue === queue) &&
      (!priority || created.priority === priority) &&
      (!groupId || created.group_id === groupId) &&
      (!model || created.model === model || created.model?.split("@")[0] === model);
    if (isWanted) {
      this.newIds.add(event.job_id);
    }
  }

  #fetch(cursor, signal) {
    return this.session.get("jobs", { ...queryOf(this.filters), view: "row", limit: PAGE, cursor }, signal);
  }

  #add({ items, next_cursor: cursor }) {
    for (const job of items) {
      if (!this.byId.has(job.job_id)) {
        this.rows.push(job);
        this.byId.set(job.job_id, job);
      }
    }
    this.#cursor = cursor;
    this.isAtEnd = cursor === null;
  }
}

/** The query of the API for these filters. */
export function queryOf({ metadata, ...filters }) {
  return metadata ? { ...filters, [`metadata.${metadata.key}`]: metadata.value } : filters;
}

/** Change a job as an event says. Events carry absolute state. */
export function patch(job, event) {
  if (event.seq !== undefined && job.seq !== undefined && event.seq <= job.seq) {
    return;
  }
  Object.assign(job, {
    seq: event.seq,
    status: event.status,
    progress: event.progress,
    done: event.done,
    total: event.total,
    step: event.step,
    attempt: event.attempt,
  });
  switch (event.type) {
    case "started":
      Object.assign(job, {
        attempt_started_at: event.at,
        attempt_first_row: event.done,
        started_at: job.started_at ?? event.at,
      });
      break;
    case "cancel_requested":
      Object.assign(job, { cancel_requested: true, cancel_requested_at: event.at });
      break;
    case "retried":
      Object.assign(job, {
        cancel_requested: false,
        cancel_requested_at: null,
        completed_at: null,
        error: null,
        failures: 0,
        run_at: event.at,
      });
      break;
    case "completed":
    case "failed":
    case "cancelled":
      Object.assign(job, { completed_at: event.at, worker: null, error: event.error ?? job.error });
      break;
    case "retrying":
    case "rescued":
      Object.assign(job, { error: event.error ?? job.error, failures: job.failures + 1 });
      break;
  }
}

/** Keep the rows for when the reader comes back; nobody else's, and not those of a list that was not loaded. */
export function remember(app, key, store) {
  if (!app.user || store.rows.length === 0) {
    return;
  }
  app.memory.delete(key);
  app.memory.set(key, store.snapshot());
  if (app.memory.size > MAX_REMEMBERED) {
    app.memory.delete(app.memory.keys().next().value);
  }
}
