// What belongs together: who signs in gets the desk, what is submitted or chosen is followed to its end.

import { Api } from "./api.js";
import { byId, say } from "./dom.js";
import { RecentJobs } from "./recent_jobs.js";
import { showResults } from "./results.js";
import { follow } from "./stream.js";
import { createJobsFrom } from "./submission.js";
import * as view from "./view.js";

const api = new Api();
const recent = new RecentJobs(api, ({ job_id: jobId, kind }) => open(jobId, kind));
const textsOf = new Map(); // the API does not give them back, so only those sent from here are known
let opened = null;

/** Show a job, and follow it until its end or until another one is opened. */
async function open(jobId, kind) {
  opened?.abort.abort();
  const abort = new AbortController();
  opened = { jobId, abort };
  view.openJob(jobId, kind);
  recent.mark(jobId);
  const { signal } = abort;

  function onProblem(problem) {
    if (!signal.aborted) {
      view.showProblem(problem.message);
    }
  }

  try {
    await follow(api, jobId, { signal, onEvent: show, onConnection: view.showConnection });
    const job = await api.job(jobId, signal);
    await showResults(api, job, textsOf.get(jobId), { signal, onProblem });
    await recent.refresh();
  } catch (problem) {
    onProblem(problem);
  } finally {
    if (!signal.aborted) {
      view.showConnection("over");
    }
  }
}

function show(event) {
  view.showEvent(event);
  recent.update(event);
}

async function cancel() {
  const { jobId, abort } = opened;
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
  say(byId("sign-in-problem"), null);
  try {
    await api.signIn(username, password.value);
  } catch (problem) {
    say(byId("sign-in-problem"), problem.message);
    password.select();
    return;
  }
  password.value = "";
  byId("username").textContent = username;
  showDesk(true);
  byId("texts").focus();
  await recent.refresh();
  await openAsked();
}

/** Open the job that the address asks for: `?job=` and its id. */
async function openAsked() {
  const jobId = new URLSearchParams(location.search).get("job");
  if (jobId === null) {
    return;
  }
  try {
    const { kind } = await api.job(encodeURIComponent(jobId));
    await open(jobId, kind);
  } catch (problem) {
    say(byId("recent-problem"), problem.message);
  }
}

/** Forget everything of the user who was here. */
function signOut(reason) {
  api.signOut();
  opened?.abort.abort();
  opened = null;
  textsOf.clear();
  view.closeJob();
  recent.clear();
  showDesk(false);
  say(byId("sign-in-problem"), reason);
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
createJobsFrom(api, async (jobId, texts) => {
  textsOf.set(jobId, texts);
  recent.refresh();
  await open(jobId, "batch_predict");
});
