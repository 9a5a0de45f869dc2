// From the address to the page: opens pages, and closes the one before with everything that it has started.

import { pathOf, to } from "./places.js";

// The address of each page, its module, and the entry of the navigation that it belongs to.
const PAGES = [
  ["", () => import("../pages/overview.js"), "overview"],
  ["jobs", () => import("../pages/jobs/page.js"), "jobs"],
  ["jobs/:id", () => import("../pages/job/page.js"), "jobs"],
  ["groups/:id", () => import("../pages/group.js"), "jobs"],
  ["new", () => import("../pages/new/page.js"), "new"],
  ["models", () => import("../pages/models.js"), "models"],
  ["models/:name", () => import("../pages/model/page.js"), "models"],
  ["models/:name/compare", () => import("../pages/model/compare.js"), "models"],
  ["datasets", () => import("../pages/datasets.js"), "datasets"],
  ["datasets/:id", () => import("../pages/dataset.js"), "datasets"],
  ["schedules", () => import("../pages/schedules.js"), "schedules"],
  ["schedules/new", () => import("../pages/schedules/editor.js"), "schedules"],
  ["schedules/:id", () => import("../pages/schedule.js"), "schedules"],
  ["schedules/:id/edit", () => import("../pages/schedules/editor.js"), "schedules"],
  ["notifications", () => import("../pages/notifications.js"), "notifications"],
  ["notifications/:id", () => import("../pages/notification.js"), "notifications"],
  ["admin", () => import("../pages/admin/page.js"), "admin"],
  ["admin/:tab", () => import("../pages/admin/page.js"), "admin"],
  ["dead-letters", () => import("../pages/dead-letters.js"), "dead"],
  ["settings", () => import("../pages/settings/page.js"), "settings"],
  ["wall", () => import("../pages/wall.js"), "wall"],
  ["sign-in", () => import("../pages/sign-in.js"), "sign-in"],
];
const LOST = [null, () => import("../pages/lost.js"), null];

/** Opens the page of the address, now and whenever it changes. */
export class Navigator {
  #app;
  #main;
  #page = null;

  /** `onPage(entry)` is told which entry of the navigation the page belongs to. */
  constructor(app, main, onPage) {
    this.#app = app;
    this.#main = main;
    this.onPage = onPage;
    // Without the Navigation API, links load the page, which works as well.
    globalThis.navigation?.addEventListener("navigate", (event) => this.#intercept(event));
  }

  /** Go to a page. */
  go(path, query, { replace = false } = {}) {
    const url = to(path, query);
    if (globalThis.navigation === undefined) {
      replace ? location.replace(url) : location.assign(url);
    } else {
      navigation.navigate(url, { history: replace ? "replace" : "auto" });
    }
  }

  /** Change the query of the address, without opening the page anew. */
  setQuery(query, { push = false } = {}) {
    const url = to(pathOf(new URL(location)), query);
    if (url === location.href) {
      return;
    }
    if (globalThis.navigation === undefined) {
      history[push ? "pushState" : "replaceState"](null, "", url);
    } else {
      navigation.navigate(url, { history: push ? "push" : "replace", info: "query" });
    }
  }

  /** A key for what a page remembers for when the reader comes back to it. */
  get key() {
    return globalThis.navigation?.currentEntry?.key ?? location.href;
  }

  /** Open the page of the present address. */
  open() {
    return this.#open(new URL(location), { isFirst: this.#page === null });
  }

  #intercept(event) {
    const url = new URL(event.destination.url);
    if (
      !event.canIntercept ||
      event.navigationType === "reload" ||
      event.hashChange ||
      event.downloadRequest !== null ||
      event.formData ||
      pathOf(url) === null
    ) {
      return;
    }
    const isQuery = event.info === "query";
    event.intercept({
      focusReset: "manual",
      scroll: isQuery ? "manual" : "after-transition",
      handler: () => (isQuery ? Promise.resolve() : this.#open(url, {})),
    });
  }

  async #open(url, { isFirst = false }) {
    const path = pathOf(url);
    const [page, names] = find(path);
    this.#page?.abort();
    const abort = new AbortController();
    this.#page = abort;
    const [, load, entry] = page;
    this.onPage(entry);
    let opened;
    try {
      opened = await load();
    } catch (error) {
      if (!abort.signal.aborted) {
        this.#app.updated(); // a module of this version is gone
      }
      console.warn(error.message);
      return;
    }
    if (abort.signal.aborted) {
      return;
    }
    const root = this.#app.pageRoot(entry);
    this.#main.replaceChildren(root);
    const shown = opened.open(root, { url, ...names, query: url.searchParams }, abort.signal, this.#app);
    this.#focus(isFirst);
    await shown;
  }

  #focus(isFirst) {
    const heading = this.#main.querySelector("h1");
    if (heading !== null && !this.#main.querySelector("[autofocus]")) {
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
    }
    if (!isFirst) {
      this.#app.notices.say(document.title);
    }
  }
}

/** Fetch the module of the page at a path, so that it is there when the page is opened. */
export function prefetch(path) {
  const [[, load]] = find(path);
  load().catch(() => {}); // the page says so when it is opened
}

function find(path) {
  const parts = path.split("/");
  for (const page of PAGES) {
    const names = match(page[0].split("/"), parts);
    if (names !== null) {
      return [page, names];
    }
  }
  return [LOST, {}];
}

function match(pattern, parts) {
  if (pattern.length !== parts.length) {
    return null;
  }
  const names = {};
  for (const [index, piece] of pattern.entries()) {
    if (piece.startsWith(":")) {
      try {
        names[piece.slice(1)] = decodeURIComponent(parts[index]);
      } catch {
        return null;
      }
    } else if (piece !== parts[index]) {
      return null;
    }
  }
  return names;
}
