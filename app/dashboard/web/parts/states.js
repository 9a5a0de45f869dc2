// How jobs are named: their state with its icon, their kind, their short id.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { stateIcon } from "./icons.js";

const ID_START = 8;
const ID_END = 4;

/** The state of a job as icon and word. A job that waits for a retry, or stops, says so. */
export function stateOf(app, job) {
  const element = h("span", { class: "state" });
  showState(app, element, job);
  return element;
}

/** Show the state of a job in an element that `stateOf` has made. */
export function showState(app, element, job) {
  const { shape, word } = described(app, job);
  element.className = `state ${shape}`;
  put(element, stateIcon(shape), word);
}

/** The id as lists show it. Its start is the time in minutes, and finds the job; its end is random. */
export function shortId(id) {
  return `${id.slice(0, ID_START)}…${id.slice(-ID_END)}`;
}

/** The name of a kind of job. */
export function kindOf({ words, t }, kind) {
  const key = `kind.${kind}`;
  return words.has(key) ? t(key) : kind.replaceAll("_", " ");
}

/** A text that a user has chosen, isolated from the direction of the text around it. */
export function named(text, { max = 60 } = {}) {
  const characters = [...text];
  if (characters.length <= max) {
    return h("bdi", null, text);
  }
  const half = Math.floor((max - 1) / 2);
  return h(
    "bdi",
    { title: text },
    `${characters.slice(0, half).join("")}…${characters.slice(-half).join("")}`,
  );
}

/** A link to a job, by its kind and model. */
export function jobLink(app, job) {
  return h("a", { href: to(`jobs/${job.job_id}`) }, kindOf(app, job.kind));
}

/** A link to a version of a model, given as `name@version`. */
export function modelLink(reference) {
  const [path, version] = reference.split("@");
  const [name, owner = null] = path.split("/").toReversed();
  return h("a", { href: to(`models/${encodeURIComponent(name)}`, { version, owner }) }, named(reference));
}

function described(app, job) {
  const { t, times, format, live } = app;
  if (job.cancel_requested && job.status === "running") {
    const since = job.cancel_requested_at ?? new Date(live.now()).toISOString();
    return {
      shape: "cancelled",
      word: times.since(since, (seconds) => t("state.cancelling", { t: format.whole(seconds) })),
    };
  }
  const seconds = (Date.parse(job.run_at) - live.now()) / 1000;
  if (job.status === "pending" && seconds > 0.5) {
    const key = job.failures > 0 ? "state.retry" : "state.delayed";
    const word = times.every(() => {
      const left = (Date.parse(job.run_at) - live.now()) / 1000;
      return left > 0 ? t(key, { t: format.whole(left) }) : t("state.pending");
    });
    return { shape: job.failures > 0 ? "retry" : "pending", word };
  }
  return { shape: job.status, word: t(`state.${job.status}`) };
}
