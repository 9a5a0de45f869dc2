// Between which instants a schedule fires, and what it does about ticks that it cannot serve at once.

import { h } from "../../core/h.js";
import { field } from "../../parts/forms.js";
import { fromField, ownZone, toField, toSeconds, units } from "./instants.js";

const DEFAULTS = {
  misfire_grace_seconds: 60,
  catch_up_limit: 10,
  catch_up_window_seconds: 86_400,
  queue_limit: 1,
  jitter_seconds: 0,
};

/** Create the fields: `{fields, window, policies, body()}`; `window` and `policies` are elements. */
export function policyFields(app, given) {
  const { t } = app;
  const zone = ownZone(app);
  const starts = field(app, {
    name: "starts_at",
    label: t("sched.start"),
    type: "datetime-local",
    value: toField(app, given.starts_at),
    note: `${t("form.optional")} · ${zone}`,
  });
  const ending = field(app, {
    label: t("sched.end"),
    options: ["never", "at", "after"].map((name) => [name, t(`sched.end.${name}`)]),
    value: given.ends_at ? "at" : given.duration_seconds ? "after" : "never",
  });
  const ends = field(app, {
    name: "ends_at",
    label: t("sched.end.at"),
    type: "datetime-local",
    value: toField(app, given.ends_at),
    note: zone,
  });
  const lasts = field(app, {
    name: "duration_seconds",
    label: t("sched.end.after"),
    type: "number",
    min: 1,
    value: given.duration_seconds ?? 1,
  });
  const of = field(app, {
    label: t("sched.unit"),
    options: units(app),
    value: given.duration_seconds ? "seconds" : "hours",
  });
  const number = (name, key, range, note = null) =>
    field(app, {
      name,
      label: t(key),
      type: "number",
      ...range,
      value: given[name] ?? DEFAULTS[name] ?? "",
      note,
    });
  const runs = number("max_runs", "sched.max", { min: 1, max: 1_000_000 }, t("form.optional"));
  const failures = number("pause_after_failures", "sched.failures", { min: 1, max: 100 }, t("form.optional"));
  const overlap = field(app, {
    name: "overlap",
    label: t("sched.overlap"),
    options: ["skip", "queue", "replace", "allow"].map((name) => [name, t(`sched.overlap.${name}`)]),
    value: given.overlap ?? "skip",
  });
  const queue = number("queue_limit", "sched.overlap.limit", { min: 1, max: 100 });
  const catchUp = field(app, {
    name: "catch_up",
    label: t("sched.catchup"),
    options: ["none", "last", "all"].map((name) => [name, t(`sched.catchup.${name}`)]),
    value: given.catch_up ?? "last",
  });
  const limit = number("catch_up_limit", "sched.catchup.limit", { min: 1, max: 1000 });
  const since = number("catch_up_window_seconds", "sched.catchup.window", { min: 60, max: 604_800 });
  const grace = number("misfire_grace_seconds", "sched.grace", { min: 1, max: 86_400 });
  const jitter = number("jitter_seconds", "sched.jitter", { min: 0, max: 3600 });
  const show = () => {
    ends.element.hidden = ending.value !== "at";
    lasts.element.hidden = of.element.hidden = ending.value !== "after";
    queue.element.hidden = overlap.value !== "queue";
    limit.element.hidden = since.element.hidden = catchUp.value !== "all";
  };
  [ending, overlap, catchUp].forEach((one) => one.input.addEventListener("change", show));
  show();
  const fields = [starts, ends, lasts, runs, failures, overlap, queue, catchUp, limit, since, grace, jitter];
  const orNull = (one) => (one.value === "" ? null : Number(one.value));
  const orDefault = (one) => (one.value === "" ? DEFAULTS[one.name] : Number(one.value));
  const box = (...all) => h("div", { class: "fields" }, ...all.map((one) => one.element));
  return {
    fields,
    window: box(starts, ending, ends, lasts, of, runs),
    policies: box(overlap, queue, catchUp, limit, since, failures, grace, jitter),
    /** The members that a preview takes. */
    span: () => ({
      starts_at: fromField(app, starts.value),
      ends_at: ending.value === "at" ? fromField(app, ends.value) : null,
      duration_seconds: ending.value === "after" ? toSeconds(lasts.value, of.value) : null,
    }),
    body() {
      return {
        ...this.span(),
        max_runs: orNull(runs),
        pause_after_failures: orNull(failures),
        overlap: overlap.value,
        catch_up: catchUp.value,
        ...Object.fromEntries([queue, limit, since, grace, jitter].map((one) => [one.name, orDefault(one)])),
      };
    },
  };
}
