// The list of the user's recent jobs.

import { byId, createElement, createTime, showMessage } from "./dom.js";
import { formatProgress } from "./event_log.js";

const MAX_JOBS = 10;

/** The list of recent jobs. Calls `onOpen` with the job that the user clicks. */
export class RecentJobs {
  #api;
  #onOpen;
  #jobs = [];
  #selectedId = null;
  #requestNumber = 0;

  constructor(api, onOpen) {
    this.#api = api;
    this.#onOpen = onOpen;
    byId("refresh").addEventListener("click", () => this.refresh());
  }

  /** Reload the list. Ignores the response if a later request or a sign-out has superseded it. */
  async refresh() {
    const number = ++this.#requestNumber;
    try {
      const { items } = await this.#api.recentJobs(MAX_JOBS);
      if (number === this.#requestNumber) {
        this.#jobs = items;
        showMessage(byId("recent-problem"), null);
        this.#render();
      }
    } catch (problem) {
      if (number === this.#requestNumber) {
        showMessage(byId("recent-problem"), problem.message);
      }
    }
  }

  /** Mark a job as the open one. */
  select(jobId) {
    this.#selectedId = jobId;
    this.#render();
  }

  /** Update the open job's entry from an event. */
  update({ status, done, total }) {
    const job = this.#jobs.find(({ job_id: jobId }) => jobId === this.#selectedId);
    if (job) {
      Object.assign(job, { status, done, total });
      this.#findButton(job.job_id)?.replaceChildren(...renderJob(job));
    }
  }

  clear() {
    this.#requestNumber += 1;
    this.#jobs = [];
    this.select(null);
    showMessage(byId("recent-problem"), null);
  }

  #render() {
    const focusedId = document.activeElement?.dataset.jobId;
    byId("no-jobs").hidden = this.#jobs.length > 0;
    byId("jobs").replaceChildren(...this.#jobs.map((job) => createElement("li", {}, this.#createButton(job))));
    if (focusedId) {
      this.#findButton(focusedId)?.focus();
    }
  }

  #createButton(job) {
    const button = createElement("button", { type: "button", "data-job-id": job.job_id }, ...renderJob(job));
    button.ariaCurrent = job.job_id === this.#selectedId ? "true" : null;
    button.addEventListener("click", () => this.#onOpen(job));
    return button;
  }

  #findButton(jobId) {
    return byId("jobs").querySelector(`[data-job-id="${CSS.escape(jobId)}"]`);
  }
}

function renderJob(job) {
  return [
    createElement("span", { class: "kind" }, job.kind.replaceAll("_", " ")),
    createElement("span", { class: "fine" }, createTime(job.created_at), ` · ${formatProgress(job)}`),
    createElement("span", { class: "status", "data-status": job.status }, job.status),
  ];
}
