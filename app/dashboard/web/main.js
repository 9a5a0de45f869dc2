// Starts the dashboard: preferences, words, session, frame, and the first page.

import { can } from "./api/rights.js";
import { Session } from "./api/session.js";
import { Frame } from "./core/frame.js";
import { h } from "./core/h.js";
import { Navigator, prefetch } from "./core/navigate.js";
import { asset, pathOf, to } from "./core/places.js";
import { Preferences } from "./core/preferences.js";
import { signal, watch } from "./core/signal.js";
import { Live } from "./live/live.js";
import { icon } from "./parts/icons.js";
import { Notices } from "./parts/notices.js";
import { Times } from "./parts/times.js";
import { Format } from "./words/format.js";
import { Words } from "./words/i18n.js";

/** What every page gets: the session, live events, words, and the ways to act on the frame. */
class App {
  preferences = new Preferences();
  session = new Session();
  live = new Live(this.session);
  paused = signal(false);
  memory = new Map(); // what pages remember, by the entry of the history
  entry = null; // of the navigation
  deadLetters = 0;
  isUpdated = false;
  #title = "";
  #frame = null;

  async start() {
    this.preferences.apply();
    prefetch(pathOf(new URL(location)));
    // All at once: the module of the page, the words, and who is signed in.
    const [[restored]] = await Promise.all([
      Promise.allSettled([this.session.restore()]),
      this.#speak(this.preferences.shownLanguage),
    ]);
    if (pathOf(new URL(location)) === "schedules" && !location.pathname.endsWith("schedules")) {
      history.replaceState(null, "", to("schedules")); // from /scheduler/
    }
    this.navigator = new Navigator(this, document.getElementById("main"), (entry) => this.#select(entry));
    this.session.onExpired = () => this.#signInAgain();
    this.#frame = new Frame(this);
    if (restored.status === "rejected") {
      await this.#restore(restored.reason);
    }
    this.live.inbox.onTick(() => this.times.tick());
    // Before the first tick, and while there is none.
    setInterval(() => this.live.state.peek().name !== "live" && this.times.tick(), 1000);
    watch(this.session.user, (user) => this.#follow(user));
    watch(this.preferences.times, (times) => this.#reformat(times));
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    const { listen } = await import("./core/keys.js");
    listen(this);
  }

  get user() {
    return this.session.user.peek();
  }

  can = (action) => can(this.user, action);

  go = (path, query, options) => this.navigator.go(path, query, options);

  /** Set the title of the page. */
  title(text) {
    this.#title = text;
    this.showTitle();
  }

  showTitle() {
    const count = this.deadLetters > 0 ? `(${this.format.capped(this.deadLetters)}) ` : "";
    document.title = `${count}${this.#title === "" ? "" : `${this.#title} · `}${this.t("app.name")}`;
  }

  iconFor = (isAlert) => asset(isAlert ? "icon-alert.svg" : "icon.svg").href;

  pageRoot = (entry) => h("div", { class: `page ${entry ?? ""}` });

  /** Show that the server has a newer version of the dashboard. */
  updated() {
    this.isUpdated = true;
    this.#redraw();
  }

  pause(isPaused) {
    this.paused.value = isPaused;
    this.live.inbox.pause(isPaused);
  }

  async search() {
    const { openPalette } = await import("./parts/palette.js");
    openPalette(this);
  }

  async setLanguage(language) {
    this.preferences.set("language", language);
    await this.#speak(language);
    this.#redraw();
    await this.navigator.open();
    document.querySelector("#top .language")?.focus();
  }

  async signOut() {
    try {
      await this.session.signOut();
    } catch (problem) {
      this.fail(problem);
    }
  }

  /** Say that an action failed. */
  async fail(problem) {
    if (problem?.status === undefined) {
      if (problem?.name !== "AbortError") {
        throw problem;
      }
      return;
    }
    const { sentenceOf } = await import("./parts/problems.js");
    this.notices.toast(sentenceOf(this, problem), { kind: "bad" });
  }

  /**
   * A button that copies a text, or what a function returns. Without permission the text is selected, and the page
   * says so.
   */
  copyButton(text, label = this.t("act.copy")) {
    const copy = async () => {
      const copied = typeof text === "function" ? text() : text;
      try {
        await navigator.clipboard.writeText(copied);
        this.notices.toast(this.t("act.copied"));
      } catch {
        const { showText } = await import("./parts/copying.js");
        showText(this, copied);
      }
    };
    return h(
      "button",
      { type: "button", class: "quiet square", "aria-label": label, title: label, onclick: copy },
      icon("copy"),
    );
  }

  async #speak(language) {
    this.words = await Words.load(language);
    const { t } = this.words;
    this.t = t;
    document.documentElement.lang = language;
    this.notices = new Notices(this.words);
    this.#reformat(this.preferences.times.peek());
  }

  #reformat(times) {
    this.format = new Format(this.words.language, { zone: times === "local" ? undefined : "UTC" });
    this.times ??= new Times(this.live, this.words, this.format, this.preferences);
    Object.assign(this.times, { words: this.words, format: this.format });
    this.times.tick();
  }

  #redraw() {
    this.#frame.close();
    this.#frame = new Frame(this);
    this.#frame.select(this.entry);
  }

  #select(entry) {
    this.entry = entry;
    this.#frame.select(entry);
  }

  /** Ask again who is signed in, as often as the reader wants. */
  async #restore(problem) {
    const { fault } = await import("./parts/resource.js");
    for (;;) {
      await new Promise((retry) => {
        document.getElementById("main").replaceChildren(fault(this, problem, { onRetry: retry }));
      });
      try {
        await this.session.restore();
        return;
      } catch (again) {
        problem = again;
      }
    }
  }

  /** Open the page for this user, or for nobody: to sign in, and then to go on. */
  #follow(user) {
    const path = pathOf(new URL(location));
    if (user === null) {
      this.live.stop();
      this.memory.clear();
      if (path === "sign-in") {
        this.navigator.open();
      } else {
        this.go(
          "sign-in",
          { next: path === "" && location.search === "" ? null : `${path}${location.search}` },
          { replace: true },
        );
      }
      return;
    }
    this.live.start();
    if (path === "sign-in") {
      const asked = `./${new URLSearchParams(location.search).get("next") ?? ""}`;
      const next = new URL(URL.canParse(asked, to("")) ? asked : "", to(""));
      const nextPath = pathOf(next);
      // Only to a page of ours.
      this.go(
        nextPath === null || nextPath === "sign-in" ? "" : nextPath,
        Object.fromEntries(next.searchParams),
        { replace: true },
      );
    } else {
      this.navigator.open();
    }
  }

  #signInAgain() {
    this.signingIn ??= import("./parts/sign-in-again.js")
      .then(({ signInAgain }) => signInAgain(this))
      .finally(() => {
        this.signingIn = null;
      });
    return this.signingIn;
  }
}

new App().start();
