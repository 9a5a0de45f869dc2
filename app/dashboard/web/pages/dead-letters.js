// Jobs that failed for good: by error and model, to be retried or dismissed one by one, or all that a filter selects.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { field } from "../parts/forms.js";
import { poll } from "../parts/polling.js";
import { failureOf } from "../parts/problems.js";
import { empty, resource } from "../parts/resource.js";
import { runSlices } from "../parts/slices.js";
import { jobLink, kindOf, named, shortId } from "../parts/states.js";
import { WITHOUT_REQUEST } from "./job/head.js";

const NAMES = ["code", "kind", "model", "queue"];
const PAGE = 50;
const MAX_REASON = 200;
const TYPED_ABOVE = 100;

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session, format } = app;
  app.title(t("dead.title"));
  let filters = Object.fromEntries(
    NAMES.filter((name) => query.has(name)).map((name) => [name, query.get(name)]),
  );
  let groups = [];
  const chosen = new Map(); // job id → job
  const opened = new Map(); // key of a group → its rows
  const body = h("div");
  const filterBar = h("div", { class: "filters open" });
  const actions = h("span", { class: "actions" });
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("dead.title")),
      h("span", { class: "spring" }),
      actions,
    ),
    filterBar,
    body,
  );

  const list = resource(app, body, {
    signal,
    skeleton: 6,
    fetch: (until) => session.get(withQuery("dead-letters/summary", filters), {}, until),
    render: ({ items }) => {
      groups = items;
      showActions();
      showFilters();
      if (items.length === 0) {
        const isFiltered = Object.keys(filters).length > 0;
        return isFiltered
          ? empty(
              t("empty.filter"),
              h(
                "button",
                { type: "button", class: "plain-button", onclick: () => change({}) },
                t("empty.filter.clear"),
              ),
            )
          : empty(t("dead.empty"));
      }
      return items.map((one) => section(one));
    },
  });

  function change(next) {
    filters = next;
    chosen.clear();
    opened.clear();
    app.navigator.setQuery(filters);
    list.refresh();
  }

  function showFilters() {
    const select = (name, key, text) => {
      const values = [
        ...new Set([...groups.map((one) => one[name] ?? ""), ...(name in filters ? [filters[name]] : [])]),
      ];
      const input = h(
        "select",
        { "aria-label": t(key) },
        h("option", { value: "*", selected: !(name in filters) }, t("jobs.f.any")),
        ...values.map((value) =>
          h("option", { value, selected: filters[name] === value }, value === "" ? "–" : text(value)),
        ),
      );
      input.addEventListener("change", () => {
        const { [name]: _, ...rest } = filters;
        change(input.value === "*" ? rest : { ...rest, [name]: input.value });
      });
      return h("label", { class: `filter ${name in filters ? "set" : ""}` }, h("span", null, t(key)), input);
    };
    const queue = h("input", {
      value: filters.queue ?? "",
      "aria-label": t("jobs.f.queue"),
      placeholder: t("jobs.f.queue"),
      onchange: () => {
        const { queue: _, ...rest } = filters;
        change(queue.value.trim() === "" ? rest : { ...rest, queue: queue.value.trim() });
      },
    });
    if (filterBar.contains(document.activeElement)) {
      return; // not under the reader's hands
    }
    put(
      filterBar,
      h(
        "div",
        { class: "filter-selects" },
        select("code", "dead.f.code", (code) => code),
        select("kind", "jobs.f.kind", (kind) => kindOf(app, kind)),
        select("model", "jobs.f.model", (model) => model),
        queue,
      ),
      Object.keys(filters).length > 0 &&
        h("button", { type: "button", class: "quiet", onclick: () => change({}) }, t("empty.filter.clear")),
    );
  }

  function section(one) {
    const key = JSON.stringify([one.code, one.kind, one.model]);
    const own = { ...filters, code: one.code, kind: one.kind, model: one.model ?? "" };
    const rows = h("div");
    const details = h("details", { open: opened.has(key) }, h("summary", null, t("act.open")), rows);
    if (opened.has(key)) {
      showRows(rows, key, own);
    }
    details.addEventListener("toggle", () => {
      if (details.open && !opened.has(key)) {
        opened.set(key, null);
        load(rows, key, own);
      } else if (!details.open) {
        opened.delete(key);
      }
    });
    const act = (action) =>
      h(
        "button",
        {
          type: "button",
          class: action === "retry" ? "plain-button" : "quiet",
          onclick: () => start(action, { filter: own }),
        },
        t(action === "retry" ? "dead.replay" : "dead.discard"),
      );
    return h(
      "section",
      { class: "panel" },
      h(
        "header",
        null,
        h(
          "h2",
          null,
          one.model === null
            ? t("dead.group.alone", { n: format.number(one.count), code: one.code })
            : t("dead.group", { n: format.number(one.count), code: one.code, model: one.model }),
        ),
        h("span", { class: "meta" }, kindOf(app, one.kind)),
        h("span", { class: "meta" }, app.times.moment(one.newest_at)),
        h("span", { class: "spring" }),
        app.can("submit") && h("span", { class: "actions" }, act("dismiss"), act("retry")),
      ),
      h("p", { class: "meta", dir: "auto" }, failureOf(app, { code: one.code, message: "" })),
      details,
    );
  }

  async function load(rows, key, own, cursor = null) {
    try {
      const page = await session.get(withQuery("dead-letters", own), { limit: PAGE, cursor }, signal);
      const before = cursor === null ? [] : (opened.get(key)?.items ?? []);
      opened.set(key, { items: [...before, ...page.items], cursor: page.next_cursor });
      showRows(rows, key, own);
    } catch (problem) {
      if (!signal.aborted) {
        opened.delete(key);
        app.fail(problem);
      }
    }
  }

  function showRows(rows, key, own) {
    const held = opened.get(key);
    if (held === null || held === undefined) {
      return;
    }
    put(
      rows,
      h("ul", { class: "running-list" }, ...held.items.map((job) => row(job))),
      held.cursor !== null &&
        h(
          "button",
          { type: "button", class: "quiet", onclick: () => load(rows, key, own, held.cursor) },
          t("table.more"),
        ),
    );
  }

  function row(job) {
    const tick = h("input", {
      type: "checkbox",
      checked: chosen.has(job.job_id),
      "aria-label": t("jobs.select", { id: shortId(job.job_id), state: t("state.failed") }),
      onchange: () => {
        tick.checked ? chosen.set(job.job_id, job) : chosen.delete(job.job_id);
        showActions();
      },
    });
    return h(
      "li",
      null,
      tick,
      jobLink(app, job),
      h(
        "span",
        { class: "what" },
        job.model && named(job.model),
        " ",
        h("span", { class: "mono meta" }, shortId(job.job_id)),
        " ",
        h("span", { class: "meta", dir: "auto" }, job.error?.message ?? ""),
      ),
      h("span", { class: "meta" }, app.times.moment(job.completed_at)),
      app.can("submit") &&
        !WITHOUT_REQUEST.includes(job.kind) &&
        h("a", { href: to("new", { from: job.job_id }), class: "button quiet" }, t("dead.replay.edit")),
    );
  }

  function showActions() {
    const count = chosen.size === 0 ? groups.reduce((sum, one) => sum + one.count, 0) : chosen.size;
    const scope = () => (chosen.size === 0 ? { filter: filters } : { ids: [...chosen.keys()] });
    const act = (action, className) =>
      h(
        "button",
        { type: "button", class: className, onclick: () => start(action, scope()) },
        `${t(action === "retry" ? "dead.replay" : "dead.discard")} (${format.capped(count)})`,
      );
    put(actions, app.can("submit") && count > 0 && [act("dismiss", "plain-button"), act("retry", "primary")]);
  }

  async function start(action, scope) {
    try {
      await handle(app, action, scope);
    } catch (problem) {
      app.fail(problem);
    }
    chosen.clear();
    opened.clear();
    if (!signal.aborted) {
      list.refresh();
    }
  }

  poll(app, signal, () => chosen.size === 0 && opened.size === 0 && list.refresh(), {
    isAbout: ({ type }) => type === "failed" || type === "retried",
  });
  await list.refresh();
}

/** Ask, and retry or dismiss these jobs, or what the filter selects now: not what fails later. */
async function handle(app, action, scope) {
  const { t, format, session, notices } = app;
  const isRetry = action === "retry";
  const path = `dead-letters/${action}`;
  const body =
    scope.filter === undefined
      ? { job_ids: scope.ids }
      : { filter: { ...scope.filter, failed_before: new Date(app.live.now()).toISOString() } };
  const preview =
    scope.filter === undefined
      ? { matched: scope.ids.length, eligible: scope.ids.length }
      : await session.post(path, { ...body, dry_run: true });
  const n = format.capped(preview.eligible);
  const left = preview.matched - preview.eligible;
  const reason = field(app, {
    name: "reason",
    label: t("dead.discard.reason"),
    note: t("form.optional"),
    maxlength: MAX_REASON,
  });
  const isAgreed = await notices.ask({
    title: t(isRetry ? "dead.bulk" : "dead.bulk.dismiss", { n }),
    text: [
      isRetry ? t("jobs.bulk.retry.text") : t("dead.bulk.dismiss.text"),
      ...(left > 0 ? [t("dead.bulk.left", { n: format.number(left) })] : []),
    ],
    content: isRetry ? null : reason.element,
    action: t(isRetry ? "dead.replay" : "dead.discard"),
    isDangerous: !isRetry,
    typed: preview.eligible > TYPED_ABOVE ? format.number(preview.eligible) : null,
  });
  if (!isAgreed) {
    return;
  }
  const why = isRetry || reason.value.trim() === "" ? {} : { reason: reason.value.trim() };
  await runSlices(app, {
    title: t(isRetry ? "dead.replay" : "dead.discard"),
    count: preview.eligible,
    slices: async function* (stop) {
      let cursor = null;
      do {
        // Not with the signal: a slice that was sent is counted.
        const answer = await session.post(path, { ...body, ...why, ...(cursor && { cursor }) });
        yield { changed: answer.job_ids.length, skipped: answer.skipped, failed: [] };
        cursor = answer.next_cursor;
      } while (cursor !== null && !stop.aborted);
    },
  });
}

/** A path with the filters as its query. An empty model is sent, too: it means that there is none. */
function withQuery(path, filters) {
  return `${path}?${new URLSearchParams(filters)}`;
}
