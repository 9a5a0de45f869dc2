// What the handler of the job has written, oldest first; the newest lines follow while the job runs.

import { h, put, set, setText } from "../../core/h.js";
import { poll } from "../../parts/polling.js";
import { empty, resource } from "../../parts/resource.js";

const PAGE = 200;
const MAX_LINES = 1000; // in the DOM
const FOLLOW_MILLISECONDS = 2000;
const END_PIXELS = 8;
const LEVELS = ["debug", "info", "warning", "error"];

/** Show the log in a panel. */
export function show(panel, state, _events, signal, app) {
  const { t, format, session } = app;
  const path = `jobs/${state.job.job_id}/logs`;
  let lines = []; // those that are shown
  let nextAfter = null; // null until the newest lines are loaded
  let hasOlder = false;
  let wasActive = isActive(state.job);
  let isHeld = false; // the reader has scrolled up
  let isBehind = false; // the job has ended since the last lines were loaded

  const level = select(
    t("job.logs.level"),
    LEVELS.map((name) => [name, t(name === "error" ? "job.logs.errors" : `job.logs.level.${name}`)]),
  );
  const attempt = select(t("jobs.c.attempt"), []);
  const follow = h("input", { type: "checkbox", checked: true, onchange: () => follow.checked && toEnd() });
  const following = h("label", { class: "check" }, follow, t("job.logs.follow"));
  const wrap = h("input", { type: "checkbox", checked: true, onchange: () => wrapLines() });
  const held = h("span", { class: "meta", role: "status" });
  const older = h("button", { type: "button", class: "plain-button", onclick: loadOlder }, t("table.more"));
  const list = h("div", {
    class: "log",
    role: "log",
    "aria-live": "off",
    "aria-label": t("job.tab.logs"),
    tabindex: 0,
  });
  const none = h("div");
  const body = h("div");
  put(
    panel,
    h(
      "div",
      { class: "log-bar" },
      level,
      attempt,
      following,
      h("label", { class: "check" }, wrap, t("job.logs.wrap")),
      held,
      h("span", { class: "spring" }),
      app.copyButton(() => lines.map(asText).join("\n")),
    ),
    body,
  );
  const page = resource(app, body, { signal, fetch, render });
  list.addEventListener(
    "scroll",
    () => {
      isHeld = list.scrollHeight - list.scrollTop - list.clientHeight > END_PIXELS;
      showHeld();
      catchUp();
    },
    { signal, passive: true },
  );
  for (const one of [level, attempt]) {
    one.addEventListener("change", begin, { signal });
  }
  showAttempts();
  wrapLines();
  page.refresh();
  poll(app, signal, () => isActive(state.job) && follow.checked && !isHeld && page.refresh(), {
    busy: FOLLOW_MILLISECONDS,
    quiet: FOLLOW_MILLISECONDS,
  });

  function fetch(until) {
    const filters = { level: level.value, attempt: attempt.value || undefined };
    const place = nextAfter === null ? { newest: true, limit: PAGE } : { after: nextAfter, limit: MAX_LINES };
    return session.get(path, { ...filters, ...place }, until);
  }

  function begin() {
    nextAfter = null;
    page.refresh();
  }

  function render(found) {
    if (!list.isConnected) {
      put(page.body, older, none, list); // before lines come: what is not on the page does not scroll
    }
    const isFirst = nextAfter === null;
    nextAfter = found.next_after;
    if (isFirst) {
      hasOlder = found.items.length === PAGE;
    }
    if (isFirst || found.items.length > 0) {
      const all = isFirst ? found.items : [...lines, ...found.items];
      hasOlder ||= all.length > MAX_LINES;
      showLines(all.slice(-MAX_LINES));
      list.scrollTop = list.scrollHeight;
    }
  }

  async function loadOlder() {
    const filters = { level: level.value, attempt: attempt.value || undefined };
    set(older, { "aria-busy": "true" });
    try {
      const { items } = await session.get(
        path,
        { ...filters, newest: true, before: lines[0].line, limit: PAGE },
        signal,
      );
      const height = list.scrollHeight;
      const all = [...items, ...lines];
      hasOlder = items.length === PAGE;
      if (all.length > MAX_LINES) {
        follow.checked = false; // the newest lines leave
        nextAfter = all[MAX_LINES - 1].line;
      }
      showLines(all.slice(0, MAX_LINES));
      list.scrollTop += list.scrollHeight - height;
    } catch (problem) {
      if (!signal.aborted) {
        app.fail(problem);
      }
    } finally {
      set(older, { "aria-busy": null });
    }
  }

  function toEnd() {
    isHeld = false;
    isBehind = false;
    begin();
    update();
  }

  function showLines(next) {
    const known = new Map(lines.map((one, index) => [one, list.children[index]]));
    lines = next;
    put(list, ...lines.map((one, index) => known.get(one) ?? element(one)));
    older.hidden = !hasOlder;
    list.hidden = lines.length === 0;
    const isFiltered = level.value !== LEVELS[0] || attempt.value !== "";
    put(none, lines.length === 0 ? empty(t(isFiltered ? "empty.filter" : "job.logs.none")) : null);
  }

  function element(one) {
    const at = new Date(one.at);
    return h(
      "div",
      { class: `log-line log-${one.level}` },
      h("time", { datetime: one.at, title: format.exact(at) }, format.clock(at)),
      one.shard !== undefined &&
        h("span", { class: "log-attempt" }, t("job.shard", { n: format.number(one.shard) })),
      one.attempt > 1 && h("span", { class: "log-attempt" }, t("job.logs.attempt", { n: one.attempt })),
      (one.level === "warning" || one.level === "error") && h("strong", { class: "mono" }, one.level),
      h("bdi", null, one.text),
    );
  }

  function showAttempts() {
    const chosen = attempt.value;
    put(
      attempt,
      h("option", { value: "" }, t("job.logs.attempts")),
      ...Array.from({ length: state.job.attempt }, (_, index) =>
        h("option", { value: index + 1 }, t("job.logs.attempt", { n: format.number(index + 1) })),
      ),
    );
    attempt.value = chosen;
    attempt.hidden = state.job.attempt < 2 || state.job.shards !== null;
  }

  function showHeld() {
    setText(held, isHeld && follow.checked && isActive(state.job) ? t("job.logs.held") : "");
  }

  function wrapLines() {
    list.classList.toggle("wrapped", wrap.checked);
    if (!isHeld) {
      list.scrollTop = list.scrollHeight;
    }
  }

  function update() {
    if (attempt.options.length !== state.job.attempt + 1) {
      showAttempts();
    }
    isBehind ||= wasActive && !isActive(state.job);
    wasActive = isActive(state.job);
    showHeld();
    catchUp();
  }

  /** Load the last lines, which are stored before a job ends. */
  function catchUp() {
    following.hidden = !isActive(state.job) && follow.checked;
    if (isBehind && follow.checked && !isHeld) {
      isBehind = false;
      page.refresh();
    }
  }

  update();
  return { update };
}

function isActive(job) {
  return job.status === "running" || job.status === "pending";
}

function select(label, options) {
  return h(
    "select",
    { "aria-label": label },
    ...options.map(([value, text]) => h("option", { value }, text)),
  );
}

function asText({ at, level, text }) {
  return `${at} ${level} ${text}`;
}
