// Entry point: signs the user in, and follows each job that is submitted or selected until it ends.

import { Api } from "./api.js";
import { byId, showMessage } from "./dom.js";
import { RecentJobs } from "./recent_jobs.js";
import { showResults } from "./results.js";
import { followJob } from "./stream.js";
import { setUpSubmissionForm } from "./submission.js";
import * as view from "./view.js";

const api = new Api();
const recent = new RecentJobs(api, ({ job_id: jobId, kind }) => open(jobId, kind));
const textsByJob = new Map(); // the API does not return a job's texts, so keep those submitted from this page
let openedJob = null;

/** Show a job and follow it until it ends or another job is opened. */
async function open(jobId, kind) {
  openedJob?.abort.abort();
  const abort = new AbortController();
  openedJob = { jobId, abort };
  view.openJob(jobId, kind);
  recent.select(jobId);
  const { signal } = abort;

  function onProblem(problem) {
    if (!signal.aborted) {
      view.showProblem(problem.message);
    }
  }

  try {
    await followJob(api, jobId, { signal, onEvent: show, onConnection: view.showConnection });
    const job = await api.job(jobId, signal);
    await showResults(api, job, textsByJob.get(jobId), { signal, onProblem });
    await recent.refresh();
  } catch (problem) {
    onProblem(problem);
  } finally {
    if (!signal.aborted) {
      view.showConnection("closed");
    }
  }
}

function show(event) {
  view.showEvent(event);
  recent.update(event);
}

async function cancel() {
  const { jobId, abort } = openedJob;
  byId("cancel").disabled = true;
  try {
    await api.cancelJob(jobId);
  } catch (problem) {
    if (!abort.signal.aborted) {
      byId("cancel").disabled = false;
      view.showProblem(problem.message);
    }
  }
}

async function signIn() {
  const username = byId("sign-in-username").value;
  const password = byId("sign-in-password");
  showMessage(byId("sign-in-problem"), null);
  try {
    await api.signIn(username, password.value);
  } catch (problem) {
    showMessage(byId("sign-in-problem"), problem.message);
    password.select();
    return;
  }
  password.value = "";
  byId("username").textContent = username;
  showDesk(true);
  byId("texts").focus();
  await recent.refresh();
  await openLinkedJob();
}

/** Open the job that the page's URL names: `?job=<id>`. */
async function openLinkedJob() {
  const jobId = new URLSearchParams(location.search).get("job");
  if (jobId === null) {
    return;
  }
  try {
    const { kind } = await api.job(encodeURIComponent(jobId));
    await open(jobId, kind);
  } catch (problem) {
    showMessage(byId("recent-problem"), problem.message);
  }
}

/** Sign out and clear everything that belongs to the user. */
function signOut(reason) {
  api.signOut();
  openedJob?.abort.abort();
  openedJob = null;
  textsByJob.clear();
  view.closeJob();
  recent.clear();
  showDesk(false);
  showMessage(byId("sign-in-problem"), reason);
  byId("sign-in-password").focus();
}

function showDesk(isSignedIn) {
  byId("sign-in").hidden = isSignedIn;
  byId("account").hidden = !isSignedIn;
  byId("desk").hidden = !isSignedIn;
}

api.onSignedOut = signOut;
byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn();
});
byId("sign-out").addEventListener("click", () => signOut(null));
byId("cancel").addEventListener("click", cancel);
setUpSubmissionForm(api, async (jobId, texts) => {
  textsByJob.set(jobId, texts);
  recent.refresh();
  await open(jobId, "batch_predict");
});
