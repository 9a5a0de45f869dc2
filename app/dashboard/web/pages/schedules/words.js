// What a schedule says of itself in the words of the page. The API's own sentences are English.

import { h } from "../../core/h.js";

const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONDAY = Date.UTC(2024, 0, 1);
const DAY_MILLISECONDS = 86_400_000;

/** When a schedule runs, with the sentence of the API as its title. */
export function ruleOf(app, { trigger, timezone, description, cron = null }) {
  const text = ruleText(app, trigger, timezone, description, cron);
  return h(
    "span",
    { title: description, lang: "en" },
    h("span", { class: "rule", lang: app.words.language }, text),
  );
}

function ruleText({ t, words, format }, trigger, timezone, description, cron) {
  const { every, hourly, daily, weekly, monthly, once } = trigger;
  if (every) {
    const { seconds = 0, minutes = 0, hours = 0, days = 0 } = every;
    return t("sched.rule.every", { t: format.whole(seconds + 60 * minutes + 3600 * hours + 86_400 * days) });
  }
  if (hourly) {
    return t("sched.rule.hourly", { n: format.number(hourly.minute ?? 0) });
  }
  if (daily) {
    return t("sched.rule.daily", { time: daily.at });
  }
  if (weekly) {
    const days = WEEKDAYS.filter((day) => weekly.on.includes(day)).map((day) => nameOf(words.language, day));
    const list = new Intl.ListFormat(words.language, { type: "conjunction" }).format(days);
    return t("sched.rule.weekly", { days: list, time: weekly.at });
  }
  if (monthly) {
    const { day, at } = monthly;
    return day === "last"
      ? t("sched.rule.last", { time: at })
      : t("sched.rule.monthly", { day: format.number(day), time: at });
  }
  if (once?.at) {
    return t("sched.rule.once", { time: `${once.at.replace("T", " ")} ${timezone}` });
  }
  // Whoever reads English reads what the expression means.
  return words.language === "en" ? description : t("sched.rule.cron", { cron: cron ?? trigger.cron ?? "" });
}

function nameOf(language, day) {
  const date = new Date(MONDAY + WEEKDAYS.indexOf(day) * DAY_MILLISECONDS);
  return new Intl.DateTimeFormat(language, { weekday: "long", timeZone: "UTC" }).format(date);
}

/** Why a schedule is not active, or a run created no job: its text by code, and the API's sentence as detail. */
export function reasonOf(app, { code, message }) {
  const { t, words } = app;
  const key = [`sched.reason.${code}`, `fail.${code}`, `code.${code}`].find(
    (one) => words.has(one) && words.placeholders(one).length === 0,
  );
  return key === undefined || words.language === "en" ? (message ?? code) : t(key);
}

/** The same as a line, with the sentence of the API below where it says more. */
export function reasonLine(app, reason) {
  const text = reasonOf(app, reason);
  const { message } = reason;
  return [text, message && message !== text && h("span", { class: "meta", lang: "en" }, ` ${message}`)];
}
