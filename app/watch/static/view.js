// The open job: its status, progress and error.

import { byId, showMessage } from "./dom.js";
import { clearLog, formatProgress, logEvent } from "./event_log.js";
import { clearResults } from "./results.js";

const ANNOUNCE_EVERY_MILLISECONDS = 5_000;
const ONE_COLUMN = matchMedia("not all and (min-width: 56rem)"); // same breakpoint as in watch.css
const CANCELLABLE = { created: true, retried: true, cancel_requested: false };
const FINAL = new Set(["completed", "failed", "cancelled"]);
const CONNECTIONS = { connecting: "connecting …", live: "live", waiting: "connection lost, retrying …", closed: "" };

let announcedAt = 0;
let announcedStatus = null;

function isFinal({ status }) {
  return FINAL.has(status);
}

/** Show a job of which only the id and kind are known. */
export function openJob(jobId, kind) {
  byId("no-job").hidden = true;
  byId("job-body").hidden = false;
  byId("job-title").textContent = kind.replaceAll("_", " ");
  byId("job-id").textContent = jobId;
  byId("step").textContent = "";
  byId("counts").textContent = "";
  byId("progress").value = 0;
  announcedStatus = null;
  byId("cancel").disabled = false;
  showStatus("pending");
  showConnection("connecting");
  showProblem(null);
  clearLog();
  clearResults();
  byId("job-title").focus({ preventScroll: ONE_COLUMN.matches });
  if (ONE_COLUMN.matches) {
    byId("job").scrollIntoView(); // it is below the form, outside the viewport
  }
}

export function closeJob() {
  byId("no-job").hidden = false;
  byId("job-body").hidden = true;
  clearLog();
  clearResults();
  document.title = "Headrace";
}

/** Show an event, and update the job's status and progress from it. */
export function showEvent(event) {
  logEvent(event);
  showStatus(event.status);
  byId("progress").value = event.progress;
  byId("step").textContent = event.step ?? "";
  byId("counts").textContent = `${formatProgress(event)} · ${Math.floor(event.progress)} %`;
  if (event.type in CANCELLABLE) {
    byId("cancel").disabled = !CANCELLABLE[event.type];
  }
  showProblem(event.error && isFinal(event) ? event.error.message : null);
  announce(event);
}

export function showConnection(connection) {
  byId("connection").textContent = CONNECTIONS[connection];
  byId("connection").dataset.connection = connection;
}

export function showProblem(message) {
  showMessage(byId("job-problem"), message);
}

function showStatus(status) {
  byId("job-status").textContent = status;
  byId("job-status").dataset.status = status;
  byId("progress").dataset.status = status;
  byId("cancel").hidden = isFinal({ status });
}

/** Announce each new status to screen readers immediately, and progress at intervals. */
function announce(event) {
  const percent = Math.floor(event.progress);
  document.title = `${isFinal(event) ? event.status : `${percent} %`} · Headrace`;
  if (event.status === announcedStatus && Date.now() - announcedAt < ANNOUNCE_EVERY_MILLISECONDS) {
    return;
  }
  announcedStatus = event.status;
  announcedAt = Date.now();
  byId("announcement").textContent = `Job ${event.status}, ${formatProgress(event)} done`;
}
