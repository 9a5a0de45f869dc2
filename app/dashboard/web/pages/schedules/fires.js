// The next runs of a schedule: in its own time zone, as the API computes them, and in the reader's.

import { h } from "../../core/h.js";
import { ownZone } from "./instants.js";

const FIRST = "overlap: first of two";
const SECOND = "overlap: second of two";

/** What a preview takes so that its intervals count from the creation of a schedule, as those of the schedule do. */
export function anchored(timing, createdAt) {
  const { trigger, starts_at: startsAt } = timing;
  const isFree = trigger.every && !trigger.anchor_at && !startsAt;
  return isFree ? { ...timing, trigger: { ...trigger, anchor_at: createdAt } } : timing;
}

/** A list of the runs that a preview has computed. */
export function fireList(app, fires, zone) {
  const { format } = app;
  const isElsewhere = zone !== ownZone(app);
  const hasSecond = fires.some((one) => one.note === SECOND);
  return h(
    "ol",
    { class: "running-list fires" },
    ...fires.map((one) =>
      h(
        "li",
        null,
        h(
          "span",
          { class: "what" },
          h("time", { datetime: one.fire_at }, wall(app, one.local)),
          one.note !== null && h("span", { class: "tag warn" }, said(app, one, hasSecond)),
        ),
        isElsewhere && h("span", { class: "meta" }, format.exact(new Date(one.fire_at))),
      ),
    ),
  );
}

/** The names of the two columns. */
export function fireZones(app, zone) {
  const { t } = app;
  return h(
    "p",
    { class: "meta row" },
    h("bdi", null, zone),
    zone !== ownZone(app) && [
      h("span", { class: "spring" }),
      h("span", null, t("sched.yours"), " ", h("bdi", null, ownZone(app))),
    ],
  );
}

/** The clock on the wall there, with its offset: it needs no time zone data of the browser. */
function wall({ words }, local) {
  const hasSeconds = local.slice(17, 19) !== "00";
  const clock = new Intl.DateTimeFormat(words.language, {
    weekday: "short",
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    ...(hasSeconds && { second: "2-digit" }),
    hourCycle: "h23",
    timeZone: "UTC",
  }).format(new Date(`${local.slice(0, 19)}Z`));
  const offset = /(Z|[+-]\d\d:\d\d)$/.exec(local)?.[0] ?? "";
  return `${clock} ${offset === "Z" ? "+00:00" : offset}`;
}

/** What a change of clocks does to a run. */
function said({ t }, { note, local }, hasSecond) {
  const at = local.slice(11, 16);
  const gap = /^gap: (\S+)/.exec(note);
  if (gap !== null) {
    return t("sched.dst.gap", { time: gap[1], u: at });
  }
  if (note === FIRST) {
    return t(hasSecond ? "sched.dst.first" : "sched.dst.twice", { time: at });
  }
  return note === SECOND ? t("sched.dst.second", { time: at }) : note;
}
