// The list of jobs: states as tabs, filters, a table of what is in sight, and actions on many.

import { h, put, replace, set, setText } from "../../core/h.js";
import { everyone } from "../../live/everyone.js";
import { menuButton } from "../../parts/menu.js";
import { inTurn, poll } from "../../parts/polling.js";
import { empty, resource } from "../../parts/resource.js";
import { windowed } from "../../parts/rows.js";
import { bulkBar } from "./bulk.js";
import { choicesOf, filterBar, isFiltered, read, write } from "./filters.js";
import { createRow } from "./row.js";
import { columnItems, showColumns, views } from "./options.js";
import { sidePanel } from "./side.js";
import { listKeys } from "./keys.js";
import { makeSelection } from "./selection.js";
import { JobRows, queryOf, remember } from "./store.js";
import { jobsTable } from "./table.js";

const STATES = ["pending", "running", "completed", "failed", "cancelled"];
const FOLLOW_MILLISECONDS = 500;

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session, live, words, format } = app;
  let filters = read(query);
  let store = new JobRows(session, filters);
  let offered = ""; // the queues and owners among the filters
  let idle = new Map(); // queues in which jobs wait without being taken, and why
  let counts = null;
  let followed = performance.now();
  app.title(t("jobs.title"));

  const selection = makeSelection({
    list: () => ({ rows: store.rows, indexOf: rows.indexOf }),
    now: live.now,
    filters: () => filters,
    count: () => currentCount() ?? store.rows.length,
    onChange: () => {
      rows.show(store.rows);
      bulk.update();
    },
  });
  const tabs = h("nav", { class: "tabs states", "aria-label": t("jobs.c.state") });
  const filterBox = h("div");
  const matching = h("span", { class: "meta" });
  const follow = h("input", { type: "checkbox" });
  const fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => refresh() });
  const { table, body } = jobsTable(app, selection);
  table.hidden = true; // until there are rows
  const listNote = h("div");
  const foot = h("p", { class: "meta list-foot", "aria-hidden": "true" });
  const bulk = bulkBar(app, {
    selection,
    store: () => store,
    matching: () => currentCount() ?? store.rows.length,
    onDone: (failed) => finishBulk(failed),
  });
  const side = sidePanel(app, signal);
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("jobs.title")),
      h("span", { class: "spring" }),
      matching,
      views(app, () => write(filters), signal),
      menuButton({
        label: t("jobs.columns"),
        text: t("jobs.columns"),
        symbol: "chevron",
        className: "plain-button",
        items: () => columnItems(app, table),
      }),
    ),
    tabs,
    h("div", { class: "list-tools" }, filterBox, h("label", { class: "check" }, follow, t("jobs.follow"))),
    h(
      "div",
      { class: "list-and-side" },
      h("section", { class: "panel list-panel" }, fresh, listNote, table, foot),
      side.element,
    ),
    bulk.element,
  );
  showColumns(app, table);

  const rows = windowed(table, body, {
    keyOf: (job) => job.job_id,
    create: (job) =>
      createRow(app, job, {
        isSelected: selection.has,
        onTick: selection.tick,
        belongs: (one) => store.belongs(one),
        idleQueues: () => idle,
        hasOwners: () => filters.owner !== undefined,
        onChanged: (now) => now && change(now),
      }),
    onEnd: () => loadMore(),
    signal,
  });
  const list = resource(app, listNote, {
    signal,
    skeleton: 12,
    fetch: (until) => store.reload(until),
    render: () => showRows(), // it fills the place of the list itself
  });

  function showRows() {
    offerMore();
    rows.show(store.rows);
    const total = currentCount();
    set(table, { "aria-rowcount": store.isAtEnd ? store.rows.length + 1 : -1 });
    table.hidden = store.rows.length === 0;
    setText(
      foot,
      store.rows.length === 0
        ? ""
        : store.isAtEnd
          ? t("table.end")
          : t("table.rows", {
              n: `${format.number(store.rows.length)} / ${total === null ? "…" : format.capped(total)}`,
            }),
    );
    if (store.rows.length === 0) {
      const isNarrowed = isFiltered(filters) || filters.status;
      put(
        list.body,
        isNarrowed
          ? empty(
              t("empty.filter"),
              h(
                "button",
                { type: "button", class: "plain-button", onclick: () => apply({}) },
                t("empty.filter.clear"),
              ),
            )
          : empty(
              [h("strong", null, t("jobs.empty")), h("br"), t("jobs.empty.text")],
              app.can("submit") &&
                h("button", { type: "button", class: "primary", onclick: () => app.go("new") }, t("nav.new")),
            ),
      );
    } else {
      put(list.body);
    }
    showNew();
  }

  async function loadMore() {
    try {
      if (await store.more(signal)) {
        showRows();
      }
    } catch (problem) {
      if (!signal.aborted) {
        list.fail(problem);
      }
    }
  }

  async function refresh() {
    await Promise.all([list.refresh(), loadCounts()]);
  }

  async function catchUp(until) {
    await Promise.all([list.catchUp(until), loadCounts()]);
  }

  function showNew() {
    const count = store.newIds.size;
    fresh.hidden = count === 0 && !store.hasUncounted;
    setText(
      fresh,
      count > 0 && !store.hasUncounted
        ? words.count("jobs.new", count, format.number(count))
        : t("jobs.new.some"),
    );
  }

  function change(job) {
    const row = store.byId.get(job.job_id);
    if (row !== undefined) {
      Object.assign(row, job);
      rows.patch(job.job_id);
    }
    bulk.update();
  }

  let bulkChanged = false;
  function receive(events) {
    let hasStrangers = false;
    for (const one of events) {
      const row = store.apply(one);
      if (row === null) {
        hasStrangers = true;
      } else {
        rows.patch(row.job_id);
        bulkChanged ||= selection.has(row.job_id);
      }
    }
    if (bulkChanged) {
      bulkChanged = false;
      bulk.update();
    }
    if (hasStrangers) {
      showNew();
      followNew();
    }
  }
  live.inbox.onEvents(receive, signal);
  const followAll = everyone(app, signal, { onEvents: receive, onLost: catchUp });

  let isPressed = false;
  function followNew() {
    const isBusy =
      scrollY > 0 ||
      root.contains(document.activeElement?.closest(".jobs-table")) ||
      document.querySelector("[popover]:popover-open, dialog[open]") !== null;
    if (
      follow.checked &&
      !fresh.hidden &&
      !isBusy &&
      !isPressed &&
      performance.now() - followed > FOLLOW_MILLISECONDS
    ) {
      followed = performance.now();
      list.refresh();
    }
  }
  addEventListener("pointerdown", () => (isPressed = true), { signal });
  addEventListener("pointerup", () => (isPressed = false), { signal });
  const following = setInterval(followNew, FOLLOW_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(following), { once: true });

  // Counts, filters, tabs.

  async function loadCounts() {
    const mine = store;
    try {
      const found = await session.get("jobs/counts", { ...queryOf(filters), status: null }, signal);
      if (mine === store) {
        counts = found;
        showTabs();
      }
    } catch (problem) {
      if (!signal.aborted && problem.status === undefined) {
        throw problem;
      }
    }
  }

  function currentCount() {
    return counts === null ? null : counts[filters.status ?? "all"];
  }

  function showTabs() {
    const tab = (name, text) => {
      const count = counts?.[name];
      return h(
        "button",
        {
          type: "button",
          class: "tab",
          "aria-current": (filters.status ?? "all") === name ? "true" : null,
          onclick: () => apply({ ...filters, status: name === "all" ? undefined : name }),
        },
        text,
        h(
          "span",
          { class: `count ${name === "failed" && count > 0 ? "bad" : ""}` },
          count === undefined ? "" : format.capped(count),
        ),
      );
    };
    replace(tabs, tab("all", t("jobs.all")), ...STATES.map((state) => tab(state, t(`state.${state}`))));
    const total = currentCount();
    setText(matching, total === null ? "" : t("jobs.match", { n: format.capped(total) }));
  }

  function showFilters() {
    drawFilters();
    table.classList.toggle("no-owner", filters.owner === undefined);
    followAll(filters.owner !== undefined && app.can("operate"));
  }

  /** Draw the filters again once more queues or owners are known, but not under the hands of the reader. */
  function offerMore() {
    filterBox.contains(document.activeElement) ||
      choicesOf(store.rows, idle).join() === offered ||
      drawFilters();
  }

  function drawFilters() {
    const [queues, owners] = choicesOf(store.rows, idle);
    offered = [queues, owners].join();
    replace(
      filterBox,
      filterBar(app, filters, {
        signal,
        queues,
        owners,
        onChange: apply,
      }),
    );
  }

  function apply(next) {
    filters = Object.fromEntries(
      Object.entries(next).filter(([, value]) => value !== undefined && value !== ""),
    );
    app.navigator.setQuery(write(filters));
    store = new JobRows(session, filters);
    selection.clear();
    counts = null;
    showFilters();
    showTabs();
    scrollTo({ top: 0, behavior: "instant" });
    return refresh();
  }

  // Selection and keys.

  function finishBulk(failed) {
    selection.clear();
    failed.forEach((id) => selection.ids.add(id));
    bulk.update();
    refresh();
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-key]");
    if (row === null || event.target.closest("a, button, input, .menu") || !getSelection().isCollapsed) {
      return;
    }
    if (!side.open(row.dataset.key)) {
      app.go(`jobs/${row.dataset.key}`);
    }
  });
  listKeys(app, signal, { rows, store: () => store, selection, change });

  // Begin, or go on where the reader has left.

  live.onLost(catchUp, signal);
  poll(app, signal, inTurn(loadIdle, loadCounts));

  async function loadIdle() {
    const isOfAll = filters.owner !== undefined && app.can("operate");
    const { items } = await session
      .get("attention", { scope: isOfAll ? "all" : null }, signal)
      .catch((problem) =>
        problem.status === undefined && !signal.aborted ? Promise.reject(problem) : { items: [] },
      );
    idle = new Map(
      items
        .filter(({ code }) => code === "queue_without_worker" || code === "queue_paused")
        .map(({ code, facts }) => [facts.queue, code]),
    );
    rows.show(store.rows);
    offerMore();
  }

  showTabs();
  showFilters();
  const { key } = app.navigator;
  const kept = app.memory.get(key);
  signal.addEventListener("abort", () => remember(app, key, store), { once: true });
  loadIdle();
  if (kept === undefined) {
    await refresh();
    return;
  }
  store.restore(kept);
  showRows();
  loadAgain(kept.rows.length);
  await loadCounts();

  /** Load as many rows as the reader has left here: they may have changed meanwhile. */
  async function loadAgain(count) {
    try {
      await store.reload(signal, count);
      showRows();
    } catch (problem) {
      if (!signal.aborted) {
        list.fail(problem);
      }
    }
  }
}
