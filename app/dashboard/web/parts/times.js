// Times that stay right while one looks: one timer for all of them.

import { h, setText } from "../core/h.js";

const DAY_MILLISECONDS = 86_400_000;

/** Creates elements that show moments and lengths of time, and keeps them up to date. */
export class Times {
  #live = new Set(); // weak references to elements, each with what it shows
  #showing = new WeakMap();

  constructor(live, words, format, preferences) {
    Object.assign(this, { live, words, format, preferences });
  }

  /** A moment: relative below a day, if the reader wants that; exact in its title and after a click. */
  moment(iso) {
    if (iso === null || iso === undefined) {
      return h("span", { class: "time" }, this.words.t("time.never"));
    }
    const date = new Date(iso);
    const element = h("time", { datetime: iso, title: this.format.exact(date), class: "time" });
    let isExact = false;
    element.addEventListener("click", () => {
      isExact = !isExact;
      show();
    });
    const show = () => setText(element, isExact ? this.format.exact(date) : this.said(date));
    return this.#keep(element, show);
  }

  /** What a moment is called now. */
  said(date) {
    const now = this.live.now();
    const away = now - date;
    const mode = this.preferences.times.peek();
    if (mode !== "relative" || Math.abs(away) >= DAY_MILLISECONDS) {
      return this.format.moment(date, now);
    }
    if (Math.abs(away) < 1000) {
      return this.words.t("time.now");
    }
    return away > 0
      ? this.words.t("time.ago", { t: this.format.whole(away / 1000) })
      : this.words.t("time.in", { t: this.format.whole(-away / 1000) });
  }

  /** An element whose text `text(seconds)` is made anew every second; `seconds` have passed since `since`. */
  since(since, text) {
    const start = Date.parse(since);
    return this.every(() => text(Math.max((this.live.now() - start) / 1000, 0)));
  }

  /** An element whose text is made anew every second. */
  every(text) {
    const element = h("span", { class: "time" });
    return this.#keep(element, () => setText(element, text()));
  }

  /** Update all elements that are on the page. */
  tick() {
    for (const reference of this.#live) {
      const element = reference.deref();
      if (element === undefined) {
        this.#live.delete(reference);
      } else if (element.isConnected) {
        this.#showing.get(element)();
      }
    }
  }

  #keep(element, show) {
    show();
    this.#showing.set(element, show);
    this.#live.add(new WeakRef(element));
    return element;
  }
}
