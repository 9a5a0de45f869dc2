// The event log of the open job, one line per event.

import { byId, createElement, createTime } from "./dom.js";

const HIDDEN_METRICS = new Set(["epoch", "seconds"]); // already shown as the step and as the event's time

const log = byId("events");

/** Remove all events. */
export function clearLog() {
  log.replaceChildren();
}

/** Append an event. Keeps the log scrolled to the end if it is there already. */
export function logEvent(event) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  log.append(
    createElement(
      "li",
      { "data-seq": event.seq, "data-type": event.type },
      createElement("span", { class: "seq" }, event.seq),
      createTime(event.at),
      createElement("span", { class: "type" }, event.type.replaceAll("_", " ")),
      createElement("span", { class: "facts" }, describeEvent(event)),
    ),
  );
  if (isAtEnd) {
    log.scrollTop = log.scrollHeight;
  }
}

function describeEvent(event) {
  return [
    event.type === "progress" && event.step,
    event.type === "progress" && (event.metrics ? formatMetrics(event.metrics) : formatProgress(event)),
    event.type === "started" && `attempt ${event.attempt}`,
    event.error?.message,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Format the metrics of a training epoch or an evaluation, e.g. `train loss 0.4213 · valid accuracy 0.9`. */
export function formatMetrics(metrics) {
  return Object.entries(metrics)
    .filter(([name, value]) => typeof value === "number" && !HIDDEN_METRICS.has(name))
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toPrecision(4))}`)
    .join(" · ");
}

/** Format a job's progress, e.g. `5 / 8`, or `5` if the total is unknown. */
export function formatProgress({ done, total }) {
  return total === null ? `${done}` : `${done} / ${total}`;
}
