// When a schedule fires: the fields of each form of rule.

import { h } from "../../core/h.js";
import { field } from "../../parts/forms.js";
import { fromField, inUnits, ownZone, toField, toSeconds, units } from "./instants.js";

const RULES = ["interval", "hourly", "daily", "weekly", "monthly", "once", "cron"];
const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONDAY = Date.UTC(2024, 0, 1);
const DAY_MILLISECONDS = 86_400_000;
const LONGEST_MONTH = 31;

/** Create the fields: `{fields, element, body()}`, where `body()` is a trigger as the API takes it. */
export function triggerFields(app, given) {
  const { t } = app;
  const first = given.every ? "interval" : Object.keys(given).find((name) => RULES.includes(name));
  const rule = field(app, {
    name: "trigger",
    label: t("sched.kind"),
    options: RULES.map((name) => [name, t(`sched.kind.${name}`)]),
    value: first,
  });
  const time = (name, value) =>
    field(app, {
      name: `trigger.${name}.at`,
      label: t("sched.at"),
      type: "time",
      required: true,
      value: value ?? "09:00",
    });
  const parts = {
    interval: interval(app, given),
    hourly: hourly(app, given.hourly),
    daily: daily(time("daily", given.daily?.at)),
    weekly: weekly(app, given.weekly, time("weekly", given.weekly?.at)),
    monthly: monthly(app, given.monthly, time("monthly", given.monthly?.at)),
    once: once(app, given.once),
    cron: cron(app, given.cron),
  };
  const boxes = RULES.map((name) => h("div", { class: "fields" }, ...parts[name].elements));
  const show = () =>
    RULES.forEach((name, index) => {
      boxes[index].hidden = name !== rule.value;
      for (const input of boxes[index].querySelectorAll("input, select")) {
        input.disabled = boxes[index].hidden;
      }
    });
  rule.input.addEventListener("change", show);
  show();
  return {
    // Of hidden fields, none is missing.
    get fields() {
      return [...parts[rule.value].fields, rule];
    },
    element: h("div", { class: "step" }, rule.element, ...boxes),
    body: () => parts[rule.value].body(),
  };
}

function interval(app, { every, anchor_at: anchorAt, fire_immediately: isImmediate }) {
  const { t } = app;
  const { seconds = 0, minutes = 0, hours = 0, days = 0 } = every ?? { minutes: 5 };
  const [count, unit] = inUnits(seconds + 60 * minutes + 3600 * hours + 86_400 * days);
  const length = field(app, {
    name: "trigger.every",
    label: t("sched.every"),
    type: "number",
    min: 1,
    required: true,
    value: count,
  });
  const of = field(app, { label: t("sched.unit"), options: units(app), value: unit });
  const anchor = field(app, {
    name: "trigger.anchor_at",
    label: t("sched.anchor"),
    type: "datetime-local",
    value: toField(app, anchorAt),
    note: `${t("form.optional")} · ${ownZone(app)}`,
  });
  const immediate = field(app, {
    name: "trigger.fire_immediately",
    label: t("sched.immediate"),
    type: "checkbox",
    value: isImmediate ?? false,
  });
  return {
    fields: [length, anchor, immediate],
    elements: [length.element, of.element, anchor.element, immediate.element],
    body: () => ({
      every: { [of.value]: Number(length.value) },
      ...(anchor.value && { anchor_at: fromField(app, anchor.value) }),
      ...(immediate.value && { fire_immediately: true }),
    }),
  };
}

function hourly(app, given) {
  const minute = field(app, {
    name: "trigger.hourly.minute",
    label: app.t("sched.minute"),
    type: "number",
    min: 0,
    max: 59,
    required: true,
    value: given?.minute ?? 0,
  });
  return {
    fields: [minute],
    elements: [minute.element],
    body: () => ({ hourly: { minute: Number(minute.value) } }),
  };
}

function daily(at) {
  return { fields: [at], elements: [at.element], body: () => ({ daily: { at: at.value.slice(0, 5) } }) };
}

function weekly({ t, words }, given, at) {
  const name = new Intl.DateTimeFormat(words.language, { weekday: "short", timeZone: "UTC" });
  const days = WEEKDAYS.map((day) =>
    h("input", { type: "checkbox", value: day, checked: (given?.on ?? ["mon"]).includes(day) }),
  );
  const box = h(
    "fieldset",
    { class: "wide" },
    h("legend", null, t("sched.on")),
    ...days.map((input, index) =>
      h("label", { class: "check" }, input, name.format(MONDAY + index * DAY_MILLISECONDS)),
    ),
  );
  return {
    fields: [at],
    elements: [box, at.element],
    body: () => ({
      weekly: {
        on: days.filter((input) => input.checked).map((input) => input.value),
        at: at.value.slice(0, 5),
      },
    }),
  };
}

function monthly(app, given, at) {
  const { t, format } = app;
  const days = Array.from({ length: LONGEST_MONTH }, (_, index) => index + 1);
  const day = field(app, {
    name: "trigger.monthly.day",
    label: t("sched.day"),
    options: [...days.map((one) => [one, format.number(one)]), ["last", t("sched.day.last")]],
    value: given?.day ?? 1,
    note: t("sched.day.note"),
  });
  return {
    fields: [day, at],
    elements: [day.element, at.element],
    body: () => ({
      monthly: { day: day.value === "last" ? "last" : Number(day.value), at: at.value.slice(0, 5) },
    }),
  };
}

function once(app, given) {
  const { t } = app;
  const hasOffset = /(Z|[+-]\d\d:\d\d)$/.test(given?.at ?? "");
  const [count, unit] = inUnits(given?.in_seconds ?? 600);
  const how = field(app, {
    label: t("sched.once"),
    options: [
      ["at", t("sched.once.at")],
      ["in", t("sched.once.in")],
    ],
    value: given?.in_seconds === undefined || given.in_seconds === null ? "at" : "in",
  });
  const at = field(app, {
    name: "trigger.once.at",
    label: t("sched.once.at"),
    // A field with date and time has no offset.
    type: hasOffset ? "text" : "datetime-local",
    required: true,
    value: given?.at ?? "",
    note: t("sched.once.zone"),
  });
  const length = field(app, {
    name: "trigger.once.in_seconds",
    label: t("sched.once.in"),
    type: "number",
    min: 1,
    required: true,
    value: count,
  });
  const of = field(app, { label: t("sched.unit"), options: units(app), value: unit });
  const show = () => {
    at.element.hidden = how.value !== "at";
    length.element.hidden = of.element.hidden = how.value === "at";
  };
  how.input.addEventListener("change", show);
  show();
  return {
    fields: [at, length],
    elements: [how.element, at.element, length.element, of.element],
    body: () => ({
      once: how.value === "at" ? { at: at.value } : { in_seconds: toSeconds(length.value, of.value) },
    }),
  };
}

function cron(app, given) {
  const expression = field(app, {
    name: "trigger.cron",
    label: app.t("sched.kind.cron"),
    class: "mono",
    required: true,
    maxlength: 256,
    spellcheck: "false",
    value: given ?? "0 9 * * mon-fri",
    note: app.t("sched.cron.note"),
  });
  return {
    fields: [expression],
    elements: [expression.element],
    body: () => ({ cron: expression.value.trim() }),
  };
}
