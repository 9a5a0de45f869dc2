// The event log of the open job, one line for each event.

import { byId, element, instant } from "./dom.js";

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
    event.type === "progress" && fraction(event),
    event.type === "started" && `attempt ${event.attempt}`,
    event.error?.message,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** How much of a job is done, as far as that is known. */
export function fraction({ done, total }) {
  return total === null ? `${done}` : `${done} / ${total}`;
}
