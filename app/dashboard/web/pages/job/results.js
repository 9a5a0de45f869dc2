// The predictions, page by page, beside the rows that they are for.

import { download } from "../../api/download.js";
import { h, put, setText } from "../../core/h.js";
import { menuButton } from "../../parts/menu.js";
import { failureOf } from "../../parts/problems.js";
import { empty, resource } from "../../parts/resource.js";
import { json } from "../../parts/json.js";
import { resultFilters } from "./filters.js";
import { FORMATS } from "./head.js";

const PAGE = 25;
const SEARCHES = 20; // requests for one page of rows that match, each of which searches many rows

/** Show the results in a panel. */
export function show(panel, state, _events, signal, app) {
  const { t, session, format } = app;
  let first = 0;
  let isFollowing = false;
  let seen = -1;
  let next = 0; // the row after those that are shown
  const start = { from: null, after: null };
  let found = start; // of the rows that match: where this page begins, and the next one
  const body = h("div");
  const range = h("span", { class: "meta" });
  const newest = h(
    "button",
    { type: "button", class: "quiet", onclick: () => jump() },
    t("job.results.newest"),
  );
  const back = h("button", { type: "button", class: "quiet", onclick: goBack }, "←");
  const on = h("button", { type: "button", class: "quiet", onclick: goOn }, "→");
  back.setAttribute("aria-label", t("act.back"));
  on.setAttribute("aria-label", t("table.more"));
  const filter = resultFilters(app, signal, {
    onChange: () => {
      matching.hidden = !filter.isSet();
      found = start;
      isFollowing = false;
      first = 0;
      page.refresh();
    },
  });
  const matching = menuButton({
    label: t("job.results.download"),
    text: t("job.results.download"),
    symbol: "download",
    className: "plain-button",
    items: () => FORMATS.map(([format, text]) => ({ text, run: () => save(format) })),
  });
  matching.hidden = true;
  filter.element.append(matching);

  /** The rows that match, all of them. */
  function save(format) {
    const asked = Object.entries({ ...filter.filters(), format }).filter(([, value]) => value !== null);
    const path = `/jobs/${state.job.job_id}/results?${new URLSearchParams(asked)}`;
    download(session, path, signal).catch((problem) => app.fail(problem));
  }

  put(
    panel,
    filter.element,
    body,
    h("footer", { class: "list-foot row" }, range, h("span", { class: "spring" }), back, on, newest),
    filter.counts,
  );
  filter.element.hidden = available() === 0;

  const page = resource(app, body, {
    signal,
    skeleton: 10,
    fetch: async (until) => {
      const { job_id: id } = state.job;
      if (available() === 0) {
        return { items: [], inputs: [] };
      }
      if (filter.isSet()) {
        return await search(until);
      }
      if (state.job.shards !== null) {
        const results = await withInput({ first_row: first, limit: PAGE }, (asked) =>
          session.get(`jobs/${id}/results`, asked, until),
        );
        return { items: results.items, inputs: results.items.map((item) => item.input) };
      }
      const [results, input] = await Promise.all([
        session.get(`jobs/${id}/results`, { first_row: first, limit: PAGE }, until),
        session
          .get(`jobs/${id}/input`, { first_row: first, limit: PAGE }, until)
          .catch((problem) => (problem.status === undefined ? Promise.reject(problem) : { rows: [] })),
      ]);
      return { items: results.items, inputs: input.rows };
    },
    render: ({ items, inputs, scanned, after }) => {
      if (scanned === undefined) {
        filter.update(state.job, items);
      } else {
        return matches(items, inputs, { scanned, after });
      }
      const done = available();
      if (state.job.shards !== null && items.length > 0) {
        first = items[0].index; // rows before it may be missing
      }
      next = items.length > 0 ? items.at(-1).index + 1 : first + PAGE;
      setText(
        range,
        items.length === 0
          ? ""
          : t("job.results.range", {
              a: format.number(first + 1),
              b: format.number(next),
              n: format.number(done),
            }),
      );
      back.disabled = first === 0;
      on.disabled = next >= done;
      newest.hidden = done <= PAGE;
      return items.length === 0 ? empty(t("job.results.none")) : table(app, state.job, items, inputs);
    },
  });

  /** How many rows can be read: of a job with shards that runs, those before the first one that is missing. */
  function available() {
    const { done, total, completed_at: endedAt } = state.job;
    if (state.shards === null) {
      return done;
    }
    return endedAt === null ? readyOf(state.shards.items) : total; // rows may be missing among those
  }

  /** The next rows that match. Each request searches a part of the results, so that several may be needed. */
  async function search(until) {
    const { job_id: id } = state.job;
    const items = [];
    let scanned = 0;
    let after = found.from;
    for (let count = 0; count < SEARCHES; count += 1) {
      const query = { ...filter.filters(), cursor: after, limit: PAGE - items.length };
      const part = await withInput(query, (asked) => session.get(`jobs/${id}/results`, asked, until));
      items.push(...part.items);
      scanned = part.scanned_through;
      after = part.next_cursor;
      if (after === null || items.length >= PAGE || scanned >= available()) {
        break;
      }
      setText(range, searched(scanned));
    }
    return { items, inputs: items.map((item) => item.input), scanned, after };
  }

  function matches(items, inputs, { scanned, after }) {
    found = { ...found, after };
    setText(range, searched(scanned));
    back.disabled = found.from === null;
    on.disabled = after === null || scanned >= available();
    newest.hidden = true;
    return items.length === 0 ? empty(t("empty.filter")) : table(app, state.job, items, inputs);
  }

  function searched(scanned) {
    return t("job.results.scanned", { n: format.number(scanned), total: format.number(available()) });
  }

  function goBack() {
    found = start; // back to the first rows that match
    go(Math.max(first - PAGE, 0));
  }

  function goOn() {
    found = { ...found, from: found.after };
    go(filter.isSet() ? 0 : next);
  }

  function go(to) {
    isFollowing = false;
    first = to;
    page.refresh();
  }

  function jump() {
    isFollowing = true;
    first = Math.max(Math.ceil(available() / PAGE) - 1, 0) * PAGE;
    page.refresh();
  }

  function update() {
    const { status, completed_at: endedAt } = state.job;
    const done = available();
    const key = `${done}${status}`;
    const isFilled = seen !== -1 && first + PAGE <= seen && !isFollowing;
    if (key === body.dataset.key) {
      return;
    }
    body.dataset.key = key;
    seen = done;
    if (filter.isSet()) {
      return; // what was found stays until the reader asks again
    }
    if (isFilled) {
      setText(
        range,
        t("job.results.range", {
          a: format.number(first + 1),
          b: format.number(Math.min(first + PAGE, done)),
          n: format.number(done),
        }),
      );
      on.disabled = first + PAGE >= done;
      newest.hidden = done <= PAGE;
      return;
    }
    if (isFollowing && endedAt === null) {
      first = Math.max(Math.ceil(done / PAGE) - 1, 0) * PAGE;
    }
    page.refresh();
  }

  update();
  return { update };
}

/** The rows of shards before the first one that is missing. */
function readyOf(shards) {
  let ready = 0;
  for (const shard of shards) {
    if (shard.first_row !== ready) {
      break;
    }
    ready += shard.done;
  }
  return ready;
}

function table(app, job, items, inputs) {
  const { t } = app;
  const isClass = items.some((item) => item.prediction?.label !== undefined);
  const highest = Math.max(...items.map((item) => Math.abs(item.prediction?.score ?? 0)), 1);
  return h(
    "table",
    { class: "list results" },
    h("caption", { class: "unseen" }, t("job.tab.results")),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        h("th", { scope: "col", class: "end" }, t("job.results.row")),
        h("th", { scope: "col" }, t("job.results.text")),
        h("th", { scope: "col" }, t(isClass ? "job.results.label" : "job.results.value")),
        isClass && h("th", { scope: "col", class: "end" }, t("job.results.score")),
        isClass &&
          h(
            "th",
            { scope: "col", class: "score-bar" },
            h("span", { class: "unseen" }, t("job.results.score")),
          ),
      ),
    ),
    h(
      "tbody",
      null,
      items.flatMap((item, index) => rows(app, job, item, inputs[index], { isClass, highest })),
    ),
  );
}

function rows(app, job, item, input, { isClass, highest }) {
  const { format, t } = app;
  const { prediction, error } = item;
  const score = prediction?.score;
  const more = h(
    "button",
    {
      type: "button",
      class: "quiet number",
      "aria-expanded": "false",
      "aria-label": `${t("job.results.row")} ${format.number(item.index + 1)}`,
    },
    format.number(item.index + 1),
  );
  const details = h("tr", { class: "more", hidden: true }, h("td", { colspan: isClass ? 5 : 3 }));
  more.addEventListener("click", () => {
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
    put(
      details.firstChild,
      json(app, {
        input,
        ...(item.id !== undefined && { id: item.id }),
        ...(error ? { error } : { prediction }),
      }),
    );
  });
  const value = error
    ? h("span", { class: "bad", title: error.message }, failureOf(app, error))
    : isClass
      ? h("span", { class: "label" }, String(prediction?.label ?? ""))
      : h("span", { class: "number" }, text(app, prediction?.value ?? prediction));
  const row = h(
    "tr",
    { class: error ? "failed" : null },
    h("td", { class: "end" }, more),
    h("td", { class: "text", dir: "auto", title: text(app, input) }, text(app, shownInput(job, input))),
    h("td", { colspan: error && isClass ? 3 : null }, value),
    isClass && !error && h("td", { class: "end number" }, score === undefined ? "" : format.value(score)),
    isClass &&
      !error &&
      h(
        "td",
        { class: "score-bar" },
        h("span", { class: "score", vars: { share: Math.abs(score ?? 0) / highest }, "aria-hidden": "true" }),
      ),
  );
  return [row, details];
}

/** Ask for results with their input rows, or without where there are none any more. */
async function withInput(query, ask) {
  try {
    return await ask({ ...query, include: "input" });
  } catch (problem) {
    if (!["no_input_rows", "dataset_deleted", "results_expired", "file_missing"].includes(problem.code)) {
      throw problem;
    }
    return await ask(query);
  }
}

/** What the model was given: its column of the row, if it takes one. */
function shownInput(job, input) {
  const column = job.params?.shape?.column;
  return column && input !== null && typeof input === "object" && column in input ? input[column] : input;
}

function text({ format }, value) {
  if (value === undefined || value === null) {
    return "–";
  }
  if (typeof value === "number") {
    return format.value(value);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
