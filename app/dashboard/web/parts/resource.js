// Data of a panel in its four states: loading, shown, failed, and old.

import { h, put, replace } from "../core/h.js";
import { icon } from "./icons.js";
import { sentenceOf } from "./problems.js";

const QUIET_MILLISECONDS = 150;
const LONG_MILLISECONDS = 5000;

/**
 * Load data into an element, and again with `refresh`; `catchUp(until)` gives up when `until` aborts, unless there is no
 * data yet.
 *
 * `fetch(signal)` returns the data, `render(data)` the children of the element, or nothing if it has updated them
 * itself. Earlier data stays while newer data loads, and dimmed if that fails. `skeleton` rows have the height of
 * the final ones. `sentence(problem)` may give another text for a problem.
 */
export function resource(app, element, { fetch, render, signal, skeleton = 3, sentence = () => null }) {
  const body = h("div", { class: "resource" });
  const note = h("div", { class: "resource-note" });
  put(element, note, body);
  let current = null;
  let loadedAt = null;

  const refresh = () => load([]);
  const catchUp = (until) => load(loadedAt === null ? [] : [until]);

  async function load(ends) {
    current?.abort();
    const loading = new AbortController();
    current = loading;
    const until = AbortSignal.any([signal, loading.signal, ...ends]);
    const stopWaiting =
      loadedAt === null ? wait(app, body, skeleton, until, () => loading.abort()) : () => {};
    try {
      const data = await fetch(until);
      stopWaiting();
      if (until.aborted) {
        return;
      }
      if (loadedAt === null) {
        body.replaceChildren(); // what stood for the data while it was awaited
      }
      if (body.querySelector(":popover-open") !== null) {
        return; // the reader has opened a menu meanwhile
      }
      loadedAt = Date.now();
      note.replaceChildren();
      body.classList.remove("old");
      const children = render(data);
      if (children !== undefined) {
        replace(body, children);
      }
    } catch (problem) {
      stopWaiting();
      if (until.aborted && problem?.status === undefined) {
        return;
      }
      if (problem?.status === undefined) {
        throw problem;
      }
      fail(problem);
    }
  }

  function fail(problem) {
    if (loadedAt === null) {
      body.replaceChildren();
    }
    body.classList.toggle("old", loadedAt !== null);
    put(note, fault(app, problem, { onRetry: refresh, loadedAt, signal, text: sentence(problem) }));
  }

  return { refresh, catchUp, fail, body };
}

/** What is shown in place of data that could not be loaded. */
export function fault(app, problem, { onRetry = null, loadedAt = null, signal, text = null } = {}) {
  const { t, format, times } = app;
  const children = [h("p", { class: "fault-text" }, icon("alert"), text ?? sentenceOf(app, problem))];
  if (problem.status === 403 && problem.facts.role !== undefined) {
    children.push(h("p", null, t("fault.role", { role: problem.facts.role })));
  }
  if (loadedAt !== null) {
    children.push(
      h(
        "p",
        { class: "meta" },
        times.every(() => t("fault.old", { t: format.whole((Date.now() - loadedAt) / 1000) })),
      ),
    );
  }
  if (problem.requestId !== null) {
    children.push(
      h(
        "p",
        { class: "meta" },
        t("fault.request", { id: problem.requestId }),
        app.copyButton(problem.requestId),
      ),
    );
  }
  if (onRetry !== null && problem.status !== 403 && problem.status !== 404) {
    children.push(retryButton(app, problem, onRetry, signal));
  }
  return h(
    "div",
    { class: "fault", role: problem.status === 404 ? null : "group" },
    h("strong", { class: "unseen" }, t("fault.title")),
    ...children,
  );
}

/** What is shown where there is nothing, with one action. */
export function empty(text, action = null) {
  return h("div", { class: "empty" }, h("p", null, text), action);
}

/** Rows of the height of the final ones. */
export function skeletonRows(count) {
  return h(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    ...Array.from({ length: count }, () => h("div")),
  );
}

function wait(app, body, rows, signal, onStop) {
  // Its room is kept at once, so that nothing moves; it is seen only if the data takes a while.
  const skeleton = rows > 0 ? skeletonRows(rows) : null;
  put(body, skeleton, skeleton && h("p", { class: "unseen" }, app.t("wait.loading")));
  skeleton?.classList.add("unseen-yet");
  const quiet = setTimeout(() => skeleton?.classList.remove("unseen-yet"), QUIET_MILLISECONDS);
  const long = setTimeout(() => {
    const stop = () => {
      onStop();
      put(body, empty(app.t("fault.network")));
    };
    body.prepend(
      h(
        "p",
        { class: "meta waiting" },
        app.t("wait.long"),
        h("button", { type: "button", class: "quiet", onclick: stop }, app.t("act.stop")),
      ),
    );
  }, LONG_MILLISECONDS);
  const done = () => {
    clearTimeout(quiet);
    clearTimeout(long);
  };
  signal.addEventListener("abort", done, { once: true });
  return done;
}

/** A button that tries again; after 429 and 503 it counts down, and then tries by itself. */
function retryButton(app, problem, onRetry, signal) {
  const button = h(
    "button",
    { type: "button", class: "plain-button", onclick: onRetry },
    app.t("act.tryagain"),
  );
  if (problem.retryAfter === null) {
    return button;
  }
  let left = Math.ceil(problem.retryAfter);
  const text = h("span", { class: "meta" }, app.t("fault.retry", { n: app.format.number(left) }));
  const timer = setInterval(() => {
    left -= 1;
    text.textContent = app.t("fault.retry", { n: app.format.number(Math.max(left, 0)) });
    if (left <= 0 || !text.isConnected) {
      clearInterval(timer);
      if (left <= 0) {
        onRetry();
      }
    }
  }, 1000);
  signal?.addEventListener("abort", () => clearInterval(timer), { once: true });
  return h("p", { class: "row" }, text, button);
}
