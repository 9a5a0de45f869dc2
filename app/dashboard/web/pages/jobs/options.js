// How the list looks: its columns, its density, and views that the reader has saved.

import { h, put, set } from "../../core/h.js";
import { to } from "../../core/places.js";
import { effect } from "../../core/signal.js";
import { field } from "../../parts/forms.js";
import { icon } from "../../parts/icons.js";
import { named } from "../../parts/states.js";

const OPTIONAL = ["queue", "progress", "attempt", "created"];
const KEY = "headrace.columns";

/** The items of the menu of columns. */
export function columnItems(app, table) {
  const { t, preferences } = app;
  const hidden = read();
  const check = (text, isChecked, onChange) =>
    h(
      "label",
      { class: "check" },
      h("input", {
        type: "checkbox",
        checked: isChecked,
        onchange: ({ target }) => onChange(target.checked),
      }),
      text,
    );
  return [
    ...OPTIONAL.map((name) =>
      check(
        t(name === "queue" || name === "created" ? `jobs.f.${name}` : `jobs.c.${name}`),
        !hidden.includes(name),
        (isShown) => {
          const next = read().filter((one) => one !== name);
          write(isShown ? next : [...next, name]);
          showColumns(app, table);
        },
      ),
    ),
    check(t("jobs.compact"), preferences.density.peek() === "compact", (isCompact) =>
      preferences.set("density", isCompact ? "compact" : "normal"),
    ),
  ];
}

/** Hide the columns that the reader does not want. */
export function showColumns(_app, table) {
  const hidden = read();
  for (const name of OPTIONAL) {
    table.classList.toggle(`no-${name}`, hidden.includes(name));
  }
}

/** The saved views, and a button to save this one. */
export function views(app, queryOf, signal) {
  const { t, preferences, notices } = app;
  const element = h("span", { class: "views" });

  async function save() {
    const name = field(app, { name: "name", label: t("jobs.view.name"), required: true, maxlength: 40 });
    const answer = await notices.dialog(
      t("jobs.view.save"),
      [
        name.element,
        h(
          "div",
          { class: "actions" },
          h(
            "button",
            {
              type: "button",
              class: "plain-button",
              onclick: ({ target }) => target.closest("dialog").close(""),
            },
            t("act.close"),
          ),
          h("button", { value: "yes", class: "primary" }, t("act.save")),
        ),
      ],
      { onOpen: () => name.input.focus() },
    );
    if (answer === "yes" && name.value.trim() !== "") {
      const others = preferences.views.peek().filter((view) => view.name !== name.value.trim());
      preferences.set("views", [...others, { name: name.value.trim(), query: queryOf() }]);
    }
  }

  effect(() => {
    const saved = preferences.views.value;
    put(
      element,
      ...saved.map((view) =>
        h(
          "span",
          { class: "chip" },
          h("a", { href: to("jobs", view.query) }, named(view.name, { max: 24 })),
          h(
            "button",
            {
              type: "button",
              class: "quiet square small",
              "aria-label": `${t("act.delete")}: ${view.name}`,
              onclick: () =>
                preferences.set(
                  "views",
                  preferences.views.peek().filter((one) => one.name !== view.name),
                ),
            },
            icon("close"),
          ),
        ),
      ),
      set(h("button", { type: "button", class: "plain-button" }, t("jobs.view.save")), { onclick: save }),
    );
  }, signal);
  return element;
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function write(names) {
  try {
    localStorage.setItem(KEY, JSON.stringify(names));
  } catch {
    // Storage is blocked: it holds for this page.
  }
}
