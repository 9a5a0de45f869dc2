// The filters of the list: in the address, in the search field, and in selects.

import { h, put } from "../../core/h.js";
import { icon } from "../../parts/icons.js";
import { kindOf, named } from "../../parts/states.js";

const NAMES = [
  "status",
  "kind",
  "queue",
  "priority",
  "model",
  "dataset_id",
  "group_id",
  "schedule_id",
  "created_after",
  "created_before",
  "owner",
  "q",
];
const KINDS = [
  "batch_predict",
  "train_model",
  "evaluate_model",
  "preprocess_dataset",
  "convert_model",
  "inspect_model",
  "send_email",
];
const PRIORITIES = ["critical", "high", "normal", "low"];
const DAY_MILLISECONDS = 86_400_000;
const TYPING_MILLISECONDS = 300;

/** The owner that stands for all. */
export const EVERYONE = "*";
const PAIR = /^([^=\s]+)=(.*)$/;

/** Read the filters of an address. */
export function read(query) {
  const filters = {};
  for (const name of NAMES) {
    const value = query.get(name);
    if (value) {
      filters[name] = value;
    }
  }
  const pair = PAIR.exec(query.get("metadata") ?? "");
  if (pair !== null) {
    filters.metadata = { key: pair[1], value: pair[2] };
  }
  return filters;
}

/** The filters as the query of the page's address. */
export function write({ metadata, ...filters }) {
  return metadata ? { ...filters, metadata: `${metadata.key}=${metadata.value}` } : filters;
}

/** Whether any filter but the state is set. */
export function isFiltered(filters) {
  return Object.keys(filters).some((name) => name !== "status" && name !== "owner");
}

/** Create the row of filters. `onChange(filters)` is called with the new ones; `owners` are names to choose from. */
export function filterBar(app, filters, { signal, queues, owners, onChange }) {
  const { t } = app;
  const element = h("div", { class: "filters" });
  const search = h("input", {
    type: "search",
    placeholder: t("jobs.search"),
    "aria-label": t("jobs.search"),
    value: filters.metadata ? `${filters.metadata.key}=${filters.metadata.value}` : (filters.q ?? ""),
  });
  let typing = null;
  search.addEventListener(
    "input",
    () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        const { q, metadata, ...rest } = filters;
        const text = search.value.trim();
        const pair = PAIR.exec(text);
        onChange(
          pair !== null
            ? { ...rest, metadata: { key: pair[1], value: pair[2] } }
            : text === ""
              ? rest
              : { ...rest, q: text },
        );
      }, TYPING_MILLISECONDS);
    },
    { signal },
  );
  signal.addEventListener("abort", () => clearTimeout(typing), { once: true });

  const select = (name, key, options, none = t("jobs.f.any")) => {
    const chosen = filters[name] ?? "";
    const all = [["", none], ...options];
    if (chosen !== "" && !all.some(([value]) => value === chosen)) {
      all.push([chosen, chosen]);
    }
    const input = h(
      "select",
      { "aria-label": t(key) },
      ...all.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
    );
    input.addEventListener("change", () => onChange(changed(filters, name, input.value)));
    return h("label", { class: `filter ${chosen === "" ? "" : "set"}` }, h("span", null, t(key)), input);
  };
  const created = createdOptions(app, filters);
  const count = Object.keys(filters).filter((name) => name !== "status" && name !== "owner").length;
  const selects = h(
    "div",
    { class: "filter-selects" },
    app.can("operate") &&
      select(
        "owner",
        "jobs.f.owner",
        [[EVERYONE, t("over.scope.all")], ...owners.map((name) => [name, name])],
        t("over.scope.mine"),
      ),
    select(
      "kind",
      "jobs.f.kind",
      KINDS.map((kind) => [kind, kindOf(app, kind)]),
    ),
    select(
      "queue",
      "jobs.f.queue",
      queues.map((queue) => [queue, queue]),
    ),
    select(
      "priority",
      "jobs.f.priority",
      PRIORITIES.map((priority) => [priority, t(`priority.${priority}`)]),
    ),
    select("created_after", "jobs.f.created", created),
    ...chips(app, filters, onChange),
  );
  const fold = h(
    "button",
    { type: "button", class: "plain-button fold", "aria-expanded": "false" },
    icon("filter"),
    t("jobs.f.more", { n: app.format.number(count) }),
  );
  fold.addEventListener("click", () =>
    fold.setAttribute("aria-expanded", String(element.classList.toggle("open"))),
  );
  put(
    element,
    h("div", { class: "search-field" }, icon("search"), search),
    fold,
    selects,
    count > 0 &&
      h(
        "button",
        { type: "button", class: "quiet", onclick: () => onChange(pick(filters, ["status", "owner"])) },
        t("empty.filter.clear"),
      ),
  );
  return element;
}

/** Queues and owners to filter by: those of the rows so far, and the queues without a worker. */
export function choicesOf(rows, idle) {
  const queues = ["default", ...idle.keys(), ...rows.map((job) => job.queue)];
  const owners = rows.map((job) => job.owner);
  return [queues.filter((queue) => !queue.startsWith("/")), owners].map((all) =>
    [...new Set(all)].toSorted(),
  );
}

/** Filters without a select of their own: each with a button that removes it. */
function chips(app, filters, onChange) {
  const { t } = app;
  const shown = [
    ["model", "jobs.f.model"],
    ["dataset_id", "jobs.f.dataset"],
    ["group_id", "jobs.f.group"],
    ["schedule_id", "jobs.f.schedule"],
    ["created_before", "jobs.f.created"],
  ];
  return shown
    .filter(([name]) => filters[name])
    .map(([name, key]) =>
      h(
        "span",
        { class: "chip" },
        `${t(key)} `,
        named(name === "created_before" ? `< ${app.format.exact(new Date(filters[name]))}` : filters[name], {
          max: 24,
        }),
        h(
          "button",
          {
            type: "button",
            class: "quiet square small",
            "aria-label": `${t("act.clear")}: ${t(key)}`,
            onclick: () => onChange(changed(filters, name, "")),
          },
          icon("close"),
        ),
      ),
    );
}

function createdOptions({ t, format, live }, filters) {
  const day = new Date(Math.floor((live.now() - DAY_MILLISECONDS) / 60_000) * 60_000).toISOString();
  const own = filters.created_after;
  const isDay = own !== undefined && Math.abs(live.now() - DAY_MILLISECONDS - Date.parse(own)) < 3_600_000;
  return own === undefined || isDay
    ? [[isDay ? own : day, t("jobs.f.day")]]
    : [
        [day, t("jobs.f.day")],
        [own, `> ${format.exact(new Date(own))}`],
      ];
}

function changed(filters, name, value) {
  const next = { ...filters };
  if (value === "") {
    delete next[name];
  } else {
    next[name] = value;
  }
  return next;
}

function pick(filters, names) {
  return Object.fromEntries(Object.entries(filters).filter(([name]) => names.includes(name)));
}
