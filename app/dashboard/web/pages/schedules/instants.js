// Instants and lengths of time in fields of a form.

const UNITS = { seconds: 1, minutes: 60, hours: 3600, days: 86_400 };

/** The units that a length of time may be given in, for a choice. */
export function units({ t }) {
  return Object.keys(UNITS).map((unit) => [unit, t(`unit.${unit}`)]);
}

/** A number of seconds as `[count, unit]`, in the largest unit in which it is a whole number. */
export function inUnits(seconds) {
  const unit = Object.keys(UNITS).findLast((name) => seconds % UNITS[name] === 0);
  return [seconds / UNITS[unit], unit];
}

export function toSeconds(count, unit) {
  return Number(count) * UNITS[unit];
}

/** An instant as the value of a field with date and time, in the reader's time zone. */
export function toField({ format }, iso) {
  if (iso === null || iso === undefined) {
    return "";
  }
  const date = new Date(iso);
  const shift = format.zone === "UTC" ? 0 : date.getTimezoneOffset() * 60_000;
  return new Date(date - shift).toISOString().slice(0, 19).replace(/:00$/, "");
}

/** The instant of a field with date and time; null if it is empty. */
export function fromField({ format }, value) {
  return value === "" ? null : new Date(format.zone === "UTC" ? `${value}Z` : value).toISOString();
}

/** The reader's time zone. */
export function ownZone({ format }) {
  return format.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}
