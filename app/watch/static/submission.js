// The form by which texts become a job.

import { byId, say } from "./dom.js";

const form = byId("submission-form");
const texts = byId("texts");

/** The texts in the form: its lines, without the empty ones. */
function lines() {
  return texts.value.split(/\r?\n/).filter((line) => line.trim() !== "");
}

function count() {
  const { length } = lines();
  byId("text-count").textContent = `${length} ${length === 1 ? "text" : "texts"}`;
}

/** Let the form create jobs; `onCreated` gets the id of each, and its texts. */
export function createJobsFrom(api, onCreated) {
  // Kept until there is an answer: after a failure the same request is sent with the same key, so that a job
  // whose answer was lost is found again, and not created twice.
  let unanswered = null;
  let isSending = false;

  async function submit() {
    const sent = lines();
    const body = JSON.stringify({
      texts: sent,
      batch_size: byId("batch-size").valueAsNumber,
      priority: byId("priority").value,
    });
    if (unanswered?.body !== body) {
      unanswered = { body, key: randomKey() };
    }
    const { job_id: jobId } = await api.createJob(body, unanswered.key);
    unanswered = null;
    onCreated(jobId, sent);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSending) {
      return;
    }
    isSending = true;
    form.ariaBusy = "true";
    say(byId("submission-problem"), null);
    try {
      await submit();
    } catch (problem) {
      say(byId("submission-problem"), problem.message);
    } finally {
      isSending = false;
      form.ariaBusy = "false";
    }
  });
  texts.addEventListener("input", count);
  count();
}

/** Not crypto.randomUUID(), which a page has only over HTTPS or on localhost. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
