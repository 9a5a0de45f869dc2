// Numbers, sizes, times and durations in the language of the page.

const UNITS = {
  en: { ms: "ms", s: "s", min: "min", h: "h", d: "d" },
  "zh-CN": { ms: "毫秒", s: "秒", min: "分钟", h: "小时", d: "天" },
};
const STEPS = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
];
const DAY_SECONDS = 86_400;
const CAP = 10_000;
const COMPACT = 1_000_000; // ticks from here on are 1.5B, not 1,500,000,000

/** Formats for one language. Times are those of the server; `zone` is `UTC` or undefined for the reader's own. */
export class Format {
  constructor(language, { zone } = {}) {
    this.language = language;
    this.zone = zone;
    this.#units = UNITS[language];
    this.#integer = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
    this.#decimal = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
    this.#fine = new Intl.NumberFormat(language, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
    this.#clock = new Intl.DateTimeFormat(language, {
      timeStyle: "medium",
      hourCycle: "h23",
      timeZone: zone,
    });
    this.#minute = new Intl.DateTimeFormat(language, {
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      timeZone: zone,
    });
    this.#day = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", timeZone: zone });
    this.#exact = new Intl.DateTimeFormat(language, {
      dateStyle: "medium",
      timeStyle: "medium",
      hourCycle: "h23",
      timeZone: zone,
    });
  }

  #units;
  #integer;
  #decimal;
  #fine;
  #clock;
  #minute;
  #day;
  #exact;

  number = (value) => this.#integer.format(value);

  /** A number with as many digits as it needs to be told from others. */
  value = (value) => {
    if (typeof value !== "number" || Number.isInteger(value)) {
      return typeof value === "number" ? this.number(value) : String(value);
    }
    return Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 0.001)
      ? new Intl.NumberFormat(this.language, { maximumSignificantDigits: 4 }).format(value)
      : this.#fine.format(value);
  };

  /** The number at a tick of an axis: with no more digits than it needs to be told from its neighbours. */
  tick = (value) =>
    new Intl.NumberFormat(this.language, {
      maximumSignificantDigits: 7,
      notation: Math.abs(value) >= COMPACT ? "compact" : "standard",
    }).format(value);

  /** A count that the server stops at 10 001. */
  capped = (count) => (count > CAP ? `${this.number(CAP)}+` : this.number(count));

  percent = (share, digits = 0) =>
    new Intl.NumberFormat(this.language, { style: "percent", maximumFractionDigits: digits }).format(share);

  bytes = (count) => {
    const [unit, size] = [
      ["GB", 1e9],
      ["MB", 1e6],
      ["kB", 1e3],
    ].find(([, limit]) => count >= limit) ?? ["B", 1];
    return `${count >= 100 * size || size === 1 ? this.number(count / size) : this.#decimal.format(count / size)} ${unit}`;
  };

  /** A length of time in at most two units: `1 min 12 s`. */
  duration = (seconds) => {
    if (seconds < 0.9995) {
      return this.#unit(Math.round(Math.max(seconds, 0) * 1000), "ms");
    }
    if (seconds < 9.95) {
      return `${this.#decimal.format(seconds)} ${this.#units.s}`;
    }
    return this.whole(seconds);
  };

  /** The same in whole seconds, for a length that changes while one looks. */
  whole = (seconds) => {
    const rounded = Math.max(Math.round(seconds), 0);
    const place = STEPS.findIndex(([, size]) => rounded >= size);
    if (place === -1) {
      return this.#unit(rounded, "s");
    }
    const [unit, size] = STEPS[place];
    const [next, nextSize] = STEPS[place + 1] ?? ["s", 1];
    const rest = Math.floor((rounded % size) / nextSize);
    const main = this.#unit(Math.floor(rounded / size), unit);
    return rest === 0 ? main : `${main} ${this.#unit(rest, next)}`;
  };

  clock = (date) => this.#clock.format(date);

  minute = (date) => this.#minute.format(date);

  day = (date) => this.#day.format(date);

  exact = (date) => this.#exact.format(date);

  /** The clock for a moment of today, else the date with the clock. */
  moment = (date, now) =>
    Math.abs(now - date) < DAY_SECONDS * 1000 ? this.clock(date) : `${this.day(date)} ${this.minute(date)}`;

  #unit(count, unit) {
    return `${this.number(count)} ${this.#units[unit]}`;
  }
}
