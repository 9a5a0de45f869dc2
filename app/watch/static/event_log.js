// The event log of the open job, one line for each event.

import { byId, element, instant } from "./dom.js";

const UNMEASURED = new Set(["epoch", "seconds"]); // the step says the one, the times of the lines the other

const log = byId("events");

/** Begin an empty log. */
export function clearLog() {
  log.replaceChildren();
}

/** Add an event at the end, and keep the end in view for a reader who is there. */
export function logEvent(event) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  log.append(
    element(
      "li",
      { "data-seq": event.seq, "data-type": event.type },
      element("span", { class: "seq" }, event.seq),
      instant(event.at),
      element("span", { class: "type" }, event.type.replaceAll("_", " ")),
      element("span", { class: "facts" }, facts(event)),
    ),
  );
  if (isAtEnd) {
    log.scrollTop = log.scrollHeight;
  }
}

function facts(event) {
  return [
    event.type === "progress" && event.step,
    event.type === "progress" && (event.metrics ? measured(event.metrics) : fraction(event)),
    event.type === "started" && `attempt ${event.attempt}`,
    event.error?.message,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Measurements in words, as an epoch of a training has them: train loss 0.4213 · valid accuracy 0.9. */
export function measured(metrics) {
  return Object.entries(metrics)
    .filter(([name, value]) => typeof value === "number" && !UNMEASURED.has(name))
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toPrecision(4))}`)
    .join(" · ");
}

/** How much of a job is done, as far as that is known. */
export function fraction({ done, total }) {
  return total === null ? `${done}` : `${done} / ${total}`;
}
