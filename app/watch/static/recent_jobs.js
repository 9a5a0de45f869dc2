// The list of the user's latest jobs, each of which can be opened again.

import { byId, element, instant, say } from "./dom.js";
import { fraction } from "./event_log.js";

const SHOWN = 10;

/** The list; `onOpen` gets the job that was chosen. */
export class RecentJobs {
  #api;
  #onOpen;
  #jobs = [];
  #openId = null;
  #turn = 0;

  constructor(api, onOpen) {
    this.#api = api;
    this.#onOpen = onOpen;
    byId("refresh").addEventListener("click", () => this.refresh());
  }

  /** Read the list again. An answer that comes after a later one, or for another user, is dropped. */
  async refresh() {
    const turn = ++this.#turn;
    try {
      const { items } = await this.#api.recentJobs(SHOWN);
      if (turn === this.#turn) {
        this.#jobs = items;
        say(byId("recent-problem"), null);
        this.#show();
      }
    } catch (problem) {
      if (turn === this.#turn) {
        say(byId("recent-problem"), problem.message);
      }
    }
  }

  /** Mark a job as the one that is open. */
  mark(jobId) {
    this.#openId = jobId;
    this.#show();
  }

  /** Let the list say what an event of the open job says. */
  update({ status, done, total }) {
    const job = this.#jobs.find(({ job_id: jobId }) => jobId === this.#openId);
    if (job) {
      Object.assign(job, { status, done, total });
      this.#row(job)?.replaceChildren(...parts(job));
    }
  }

  clear() {
    this.#turn += 1;
    this.#jobs = [];
    this.mark(null);
    say(byId("recent-problem"), null);
  }

  #show() {
    const focused = document.activeElement?.dataset.jobId;
    byId("no-jobs").hidden = this.#jobs.length > 0;
    byId("jobs").replaceChildren(...this.#jobs.map((job) => element("li", {}, this.#button(job))));
    if (focused) {
      this.#row({ job_id: focused })?.focus();
    }
  }

  #button(job) {
    const button = element("button", { type: "button", "data-job-id": job.job_id }, ...parts(job));
    button.ariaCurrent = job.job_id === this.#openId ? "true" : null;
    button.addEventListener("click", () => this.#onOpen(job));
    return button;
  }

  #row({ job_id: jobId }) {
    return byId("jobs").querySelector(`[data-job-id="${CSS.escape(jobId)}"]`);
  }
}

function parts(job) {
  return [
    element("span", { class: "kind" }, job.kind.replaceAll("_", " ")),
    element("span", { class: "fine" }, instant(job.created_at), ` · ${fraction(job)}`),
    element("span", { class: "status", "data-status": job.status }, job.status),
  ];
}
