// The form that submits texts as a job.

import { byId, showMessage } from "./dom.js";

const form = byId("submission-form");
const texts = byId("texts");

/** Return the non-empty lines of the form. */
function readTexts() {
  return texts.value.split(/\r?\n/).filter((line) => line.trim() !== "");
}

function showCount() {
  const { length } = readTexts();
  byId("text-count").textContent = `${length} ${length === 1 ? "text" : "texts"}`;
}

/** Make the form create jobs. Calls `onCreated` with each job's id and texts. */
export function setUpSubmissionForm(api, onCreated) {
  // The request without a response yet. If it is submitted again, it keeps its idempotency key, so that a job
  // whose response was lost is not created twice.
  let pendingRequest = null;
  let isSending = false;

  async function submit() {
    const submitted = readTexts();
    const body = JSON.stringify({
      texts: submitted,
      batch_size: byId("batch-size").valueAsNumber,
      priority: byId("priority").value,
    });
    if (pendingRequest?.body !== body) {
      pendingRequest = { body, key: randomKey() };
    }
    const { job_id: jobId } = await api.createJob(body, pendingRequest.key);
    pendingRequest = null;
    onCreated(jobId, submitted);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSending) {
      return;
    }
    isSending = true;
    form.ariaBusy = "true";
    showMessage(byId("submission-problem"), null);
    try {
      await submit();
    } catch (problem) {
      showMessage(byId("submission-problem"), problem.message);
    } finally {
      isSending = false;
      form.ariaBusy = "false";
    }
  });
  texts.addEventListener("input", showCount);
  showCount();
}

/** Return a random key. `crypto.randomUUID()` would only work over HTTPS or on localhost. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
