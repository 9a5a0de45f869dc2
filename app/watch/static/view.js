// The open job: its state, its progress, and what went wrong.

import { byId, say } from "./dom.js";
import { clearLog, fraction, logEvent } from "./event_log.js";
import { clearResults } from "./results.js";

const ANNOUNCE_EVERY_MILLISECONDS = 5_000;
const ONE_COLUMN = matchMedia("not all and (min-width: 56rem)"); // as in watch.css
const CANCELLABLE = { created: true, retried: true, cancel_requested: false };
const FINAL = new Set(["completed", "failed", "cancelled"]);
const CONNECTIONS = { connecting: "connecting …", live: "live", waiting: "connection lost, trying again …", over: "" };

let announcedAt = 0;
let announcedStatus = null;

function isFinal({ status }) {
  return FINAL.has(status);
}

/** Begin with a job of which nothing is known yet but its id and kind. */
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
    byId("job").scrollIntoView(); // it is below the form, out of sight
  }
}

export function closeJob() {
  byId("no-job").hidden = false;
  byId("job-body").hidden = true;
  clearLog();
  clearResults();
  document.title = "Headrace";
}

/** Show an event, and what it says of the job as a whole. */
export function showEvent(event) {
  logEvent(event);
  showStatus(event.status);
  byId("progress").value = event.progress;
  byId("step").textContent = event.step ?? "";
  byId("counts").textContent = `${fraction(event)} · ${Math.floor(event.progress)} %`;
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

export function showProblem(sentence) {
  say(byId("job-problem"), sentence);
}

function showStatus(status) {
  byId("job-status").textContent = status;
  byId("job-status").dataset.status = status;
  byId("progress").dataset.status = status;
  byId("cancel").hidden = isFinal({ status });
}

/** Tell a screen reader of each new state at once, and of progress now and then. */
function announce(event) {
  const percent = Math.floor(event.progress);
  document.title = `${isFinal(event) ? event.status : `${percent} %`} · Headrace`;
  if (event.status === announcedStatus && Date.now() - announcedAt < ANNOUNCE_EVERY_MILLISECONDS) {
    return;
  }
  announcedStatus = event.status;
  announcedAt = Date.now();
  byId("announcement").textContent = `Job ${event.status}, ${fraction(event)} done`;
}
