// The frame around the page: navigation, the bar at the top, and what is said about the connection.

import { can } from "../api/rights.js";
import { icon, mark, stateIcon } from "../parts/icons.js";
import { h, put, set, setText } from "./h.js";
import { to } from "./places.js";
import { effect } from "./signal.js";

// Name of the text, path, icon, and the action that one must be allowed to do.
const GROUPS = [
  [
    ["overview", "", "bars"],
    ["jobs", "jobs", "list"],
    ["dead", "dead-letters", "mail"],
    ["schedules", "schedules", "clock"],
  ],
  [
    ["models", "models", "cube"],
    ["datasets", "datasets", "data"],
  ],
  [
    ["notifications", "notifications", "bell"],
    ["admin", "admin", "shield", "operate"],
    ["settings", "settings", "sliders"],
  ],
];
const AT_FOOT = ["overview", "jobs", "new", "dead", "more"];
const THEMES = ["system", "light", "dark"];

/** Shows the frame. Made anew when the language changes. */
export class Frame {
  #abort = new AbortController();
  #entries = new Map();
  #nav = document.getElementById("nav");
  #top = document.getElementById("top");
  #bars = document.getElementById("bars");

  constructor(app) {
    this.app = app;
    this.#draw();
  }

  /** Remove its listeners. */
  close() {
    this.#abort.abort();
  }

  /** Show which entry the page belongs to; without a user, and on a wall, there is no navigation. */
  select(entry) {
    const isBare = entry === "sign-in";
    document.body.classList.toggle("bare", isBare);
    document.body.classList.toggle("wall", entry === "wall");
    this.#nav.hidden = isBare || entry === "wall";
    for (const [name, link] of this.#entries) {
      set(link, { "aria-current": name === entry ? "page" : null });
    }
    this.#nav.classList.remove("more");
    this.#entries.get("more")?.setAttribute("aria-expanded", "false");
  }

  #draw() {
    const { app } = this;
    const { t } = app;
    document.querySelector(".skip").textContent = t("app.skip");
    put(this.#bars);
    effect(() => {
      const user = app.session.user.value;
      this.#drawNavigation(user);
      this.#drawTop(user);
      this.select(app.entry);
      this.#showCounts(app.live.stats.peek());
      this.#showConnection(app.live.state.peek(), app.live.lostAt.peek(), app.paused.peek());
    }, this.#abort.signal);
    effect(() => this.#showTheme(app.preferences.theme.value), this.#abort.signal);
    app.live.inbox.onTick(() => this.showClock?.(), this.#abort.signal);
    effect(() => this.#showCounts(app.live.stats.value), this.#abort.signal);
    effect(
      () => this.#showConnection(app.live.state.value, app.live.lostAt.value, app.paused.value),
      this.#abort.signal,
    );
  }

  #drawNavigation(user) {
    const { t } = this.app;
    this.#entries.clear();
    const link = (name, path, symbol) => {
      const entry = h(
        "a",
        { href: to(path), class: `entry ${name}`, title: t(`nav.${name}`) },
        icon(symbol),
        h("span", { class: "label" }, t(`nav.${name}`)),
        h("span", { class: "count" }),
      );
      this.#entries.set(name, entry);
      return h("li", { class: AT_FOOT.includes(name) ? null : "beyond" }, entry);
    };
    const groups = GROUPS.map((entries) => {
      const shown = entries.filter(([, , , action]) => action === undefined || can(user, action));
      return h("ul", null, ...shown.map((entry) => link(...entry)));
    });
    const more = h(
      "button",
      { type: "button", class: "entry more", "aria-expanded": "false", "aria-controls": "nav" },
      icon("more"),
      h("span", { class: "label" }, t("nav.more")),
    );
    more.addEventListener("click", () => {
      more.setAttribute("aria-expanded", String(this.#nav.classList.toggle("more")));
    });
    this.#entries.set("more", more);
    put(
      set(this.#nav, { "aria-label": t("nav.main") }),
      h(
        "a",
        { href: to(""), class: "brand", "aria-label": t("app.name") },
        mark(),
        h("span", { class: "label" }, t("app.name")),
      ),
      can(user, "submit") && h("ul", { class: "create" }, link("new", "new", "plus")),
      ...groups,
      h("ul", { class: "foot" }, h("li", null, more)),
      user &&
        h(
          "div",
          { class: "user" },
          h("span", { class: "avatar", "aria-hidden": "true" }, initials(user.username)),
          h(
            "span",
            { class: "label" },
            h("bdi", null, user.username),
            h("span", { class: "meta" }, t(`admin.role.${user.role}`)),
          ),
          h("button", { type: "button", class: "quiet", onclick: () => this.app.signOut() }, t("sign.out")),
        ),
    );
  }

  #drawTop(user) {
    const { app } = this;
    const { t, preferences, words } = app;
    this.themeButton = h("button", {
      type: "button",
      class: "quiet square theme",
      onclick: () => this.#nextTheme(),
    });
    this.#showTheme(preferences.theme.peek());
    this.connection = h("button", {
      type: "button",
      class: "quiet connection",
      onclick: () => app.pause(!app.paused.peek()),
    });
    const clock = h("span", { class: "clock", title: t("clock.label") });
    const show = () => {
      const now = new Date(app.live.now());
      put(
        clock,
        h("time", { datetime: now.toISOString() }, app.format.clock(now)),
        app.format.zone === "UTC" ? ` ${t("clock.utc")}` : null,
      );
    };
    show();
    this.showClock = show;
    const other = words.language === "en" ? ["zh-CN", "lang.zh", "中"] : ["en", "lang.en", "EN"];
    put(
      this.#top,
      h(
        "a",
        { href: to(""), class: "brand", "aria-label": t("app.name") },
        mark(),
        h("span", { class: "label" }, t("app.name")),
      ),
      user &&
        h(
          "button",
          { type: "button", class: "search", "aria-label": t("nav.search"), onclick: () => app.search() },
          icon("search"),
          h("span", { class: "label" }, t("nav.search")),
          h("kbd", null, "/"),
        ),
      h("span", { class: "spring" }),
      user && this.connection,
      user && clock,
      h(
        "button",
        {
          type: "button",
          class: "quiet language",
          lang: other[0],
          "aria-label": `${t("lang.label")}: ${t(other[1])}`,
          title: t(other[1]),
          onclick: () => app.setLanguage(other[0]),
        },
        other[2],
      ),
      this.themeButton,
    );
  }

  #showTheme(theme) {
    const { t } = this.app;
    if (this.themeButton === undefined) {
      return;
    }
    put(this.themeButton, icon({ system: "sliders", light: "sun", dark: "moon" }[theme]));
    set(this.themeButton, {
      "aria-label": `${t("theme.label")}: ${t(`theme.${theme}`)}`,
      title: t(`theme.${theme}`),
    });
  }

  #nextTheme() {
    const { preferences } = this.app;
    preferences.set("theme", THEMES[(THEMES.indexOf(preferences.theme.peek()) + 1) % THEMES.length]);
  }

  #showCounts(stats) {
    const { format, words } = this.app;
    const dead = stats?.dead_letters ?? 0;
    const running = stats?.counts.running ?? 0;
    const deadEntry = this.#entries.get("dead");
    if (deadEntry !== undefined) {
      setText(deadEntry.querySelector(".count"), dead > 0 ? format.capped(dead) : "");
    }
    const jobsEntry = this.#entries.get("jobs");
    if (jobsEntry !== undefined) {
      const count = jobsEntry.querySelector(".count");
      put(count, running > 0 && stateIcon("running"), running > 0 ? format.capped(running) : "");
      set(count, {
        "aria-label": running > 0 ? words.count("nav.running", running, format.capped(running)) : null,
        role: running > 0 ? "img" : null,
      });
    }
    this.app.deadLetters = dead;
    this.app.showTitle();
    set(document.querySelector("link[rel=icon]"), { href: this.app.iconFor(dead > 0) });
  }

  #showConnection(state, lostAt, isPaused) {
    const { app, connection } = this;
    const { t, format, times } = app;
    if (connection === undefined) {
      return;
    }
    const word = isPaused
      ? times.every(() => t("link.paused", { n: format.number(app.live.inbox.size) }))
      : this.#wordFor(state);
    put(
      connection,
      h("span", { class: `dot ${isPaused ? "paused" : state.name}` }),
      h("span", { class: "label" }, word),
    );
    set(connection, { title: t(isPaused ? "link.resume" : "link.pause"), "aria-pressed": String(isPaused) });
    const isOffline = lostAt !== null && state.name !== "live";
    document.body.classList.toggle("offline", isOffline);
    const text =
      state.name === "toomany"
        ? t("link.toomany")
        : t("link.since", { time: format.clock(new Date(lostAt ?? 0)) });
    put(
      this.#bars,
      isOffline && app.session.user.value && h("p", { class: "bar warn" }, icon("alert"), text),
      app.isUpdated && this.#updatedBar(),
    );
    if (this.wasOffline && !isOffline) {
      app.notices.say(t("link.back"));
    } else if (isOffline && !this.wasOffline) {
      app.notices.say(text);
    }
    this.wasOffline = isOffline;
  }

  #wordFor(state) {
    const { t, format, times } = this.app;
    switch (state.name) {
      case "waiting":
        return times.every(() =>
          t("link.waiting", { n: format.number(Math.max(Math.ceil((state.until - Date.now()) / 1000), 0)) }),
        );
      case "stalled":
        return times.every(() =>
          t("link.stalled", { n: format.number(Math.round((Date.now() - state.since) / 1000)) }),
        );
      case "toomany":
      case "idle":
        return t("link.offline");
      default:
        return t(`link.${state.name}`);
    }
  }

  #updatedBar() {
    const { t } = this.app;
    return h(
      "p",
      { class: "bar" },
      t("app.updated"),
      h(
        "button",
        { type: "button", class: "plain-button", onclick: () => location.reload() },
        t("app.updated.go"),
      ),
    );
  }
}

function initials(name) {
  return name
    .split(/[^\p{L}\p{N}]+/u)
    .map((word) => [...word][0] ?? "")
    .join("")
    .slice(0, 2)
    .toUpperCase();
}
