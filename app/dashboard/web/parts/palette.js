// Search over jobs, models, datasets, schedules and pages.

import { h, put, set } from "../core/h.js";
import { to } from "../core/places.js";
import { icon } from "./icons.js";
import { sentenceOf } from "./problems.js";
import { kindOf, named, shortId } from "./states.js";

const TYPING_MILLISECONDS = 150;

// Name of the text, path, icon, and the action that one must be allowed to do.
const PAGES = [
  ["nav.overview", "", "bars"],
  ["nav.jobs", "jobs", "list"],
  ["nav.dead", "dead-letters", "mail"],
  ["nav.schedules", "schedules", "clock"],
  ["nav.models", "models", "cube"],
  ["nav.datasets", "datasets", "data"],
  ["nav.new", "new", "plus", "submit"],
  ["nav.notifications", "notifications", "bell"],
  ["nav.admin", "admin", "shield", "operate"],
  ["nav.settings", "settings", "sliders"],
  ["wall.title", "wall", "bars"],
];

/** Open the palette. */
export function openPalette(app) {
  const { t } = app;
  if (document.querySelector("dialog.palette") !== null) {
    return;
  }
  const list = h("ul", { role: "listbox", id: "palette-list", "aria-label": t("nav.search") });
  const note = h("p", { class: "meta", role: "status" });
  const input = h("input", {
    type: "search",
    placeholder: t("nav.search"),
    "aria-label": t("nav.search"),
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    "aria-autocomplete": "list",
    autocomplete: "off",
  });
  const dialog = h("dialog", { class: "palette", "aria-label": t("nav.search") }, input, list, note);
  const closed = new AbortController();
  let current = 0;
  let asked = new AbortController();
  let timer = null;
  let finding = Promise.resolve();

  function show(entries, text) {
    put(
      list,
      ...entries.map((entry, index) =>
        h(
          "li",
          { role: "presentation" },
          option(entry, index, () => dialog.close()),
        ),
      ),
    );
    list.hidden = entries.length === 0;
    set(input, { "aria-expanded": String(entries.length > 0) });
    note.textContent = text;
    select(0);
  }

  function select(index) {
    const options = list.querySelectorAll("[role=option]");
    current = options.length === 0 ? 0 : (index + options.length) % options.length;
    options.forEach((one, place) => set(one, { "aria-selected": String(place === current) }));
    set(input, { "aria-activedescendant": options[current]?.id ?? null });
    options[current]?.scrollIntoView({ block: "nearest" });
  }

  /** Show what begins with the text now; what was asked before is no longer awaited. */
  function find() {
    clearTimeout(timer);
    timer = null;
    asked.abort();
    asked = new AbortController();
    finding = look(input.value.trim(), AbortSignal.any([asked.signal, closed.signal]));
  }

  async function look(text, signal) {
    const pages = pagesWith(app, text);
    try {
      const found = text === "" ? [] : await objects(app, text, signal);
      const all = [...found, ...pages];
      show(all, all.length === 0 ? t("nav.search.none", { q: text }) : "");
    } catch (problem) {
      if (signal.aborted) {
        return;
      }
      if (problem.status === undefined) {
        throw problem;
      }
      show(pages, sentenceOf(app, problem));
    }
  }

  /** Open what is selected: among what begins with the whole text, however fast it was typed. */
  async function open() {
    if (timer !== null) {
      find();
    }
    await finding;
    list.querySelector("[aria-selected=true]")?.click();
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, TYPING_MILLISECONDS);
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.isComposing) {
      return; // these keys choose among the characters of an input method
    }
    if (event.key in moves) {
      event.preventDefault();
      select(current + moves[event.key]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      open();
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    clearTimeout(timer);
    closed.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
  find();
}

function option({ href, symbol, text, what }, index, onChosen) {
  return h(
    "a",
    { href, role: "option", id: `found-${index}`, tabindex: -1, onclick: onChosen },
    icon(symbol),
    h("span", { class: "said" }, ...text),
    h("span", { class: "meta" }, what),
  );
}

function pagesWith(app, text) {
  const { t } = app;
  return PAGES.filter(
    ([name, , , action]) =>
      (action === undefined || app.can(action)) && t(name).toLowerCase().includes(text.toLowerCase()),
  ).map(([name, path, symbol]) => ({ href: to(path), symbol, text: [t(name)], what: null }));
}

async function objects(app, text, signal) {
  const { t, session, user } = app;
  const owner = app.can("operate") ? "*" : null;
  const found = await session.get("search", { q: text, owner }, signal);
  const ownerOf = (one) => one.owner !== user.username && h("span", { class: "meta" }, " ", named(one.owner));
  return [
    ...found.models.map((one) => ({
      href: to(`models/${encodeURIComponent(one.name)}`, {
        owner: one.is_own || one.is_built_in ? null : one.owner,
      }),
      symbol: "cube",
      what: t("jobs.f.model"),
      text: [named(one.name), one.owner !== null && ownerOf(one)],
    })),
    ...found.datasets.map((one) => ({
      href: to(`datasets/${one.dataset_id}`),
      symbol: "data",
      what: t("new.dataset"),
      text: [named(one.name)],
    })),
    ...found.schedules.map((one) => ({
      href: to(`schedules/${one.schedule_id}`),
      symbol: "clock",
      what: t("jobs.f.schedule"),
      text: [named(one.name), ownerOf(one)],
    })),
    // A model comes before the jobs that use it.
    ...found.jobs.map((job) => ({
      href: to(`jobs/${job.job_id}`),
      symbol: "list",
      what: t("jobs.c.job"),
      text: [
        kindOf(app, job.kind),
        " ",
        job.model && named(job.model),
        " ",
        h("span", { class: "mono meta" }, shortId(job.job_id)),
        ownerOf(job),
      ],
    })),
  ];
}
