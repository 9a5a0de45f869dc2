// How the dashboard looks and behaves in this browser, and the account.

import { described } from "../../core/keys.js";
import { h, put, replace } from "../../core/h.js";
import { to } from "../../core/places.js";
import { effect } from "../../core/signal.js";
import { field } from "../../parts/forms.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { passwordForm, sessionList } from "./account.js";
import { apiKeys } from "./api-keys.js";

/** Open the page. */
export async function open(root, _address, signal, app) {
  const { t, session } = app;
  app.title(t("set.title"));
  const sessions = sessionList(app, signal);
  const keys = apiKeys(app, signal);
  const version = h("div");
  put(
    root,
    h("header", { class: "page-head" }, h("h1", null, t("set.title"))),
    panel(t("set.look"), h("div", { class: "fields" }, ...looks(app))),
    panel(t("set.views"), savedViews(app, signal)),
    panel(t("set.account"), account(app)),
    panel(t("set.password"), passwordForm(app, signal, sessions.refresh)),
    panel(t("set.sessions"), sessions.element, sessions.action),
    panel(t("set.apikeys"), keys.element),
    panel(t("set.keys"), keyTable(app)),
    panel(t("set.version"), version),
  );
  const about = resource(app, version, {
    signal,
    skeleton: 1,
    fetch: (until) => session.get("", {}, until),
    render: ({ name, version: number }) => h("p", null, `${name} `, h("span", { class: "mono" }, number)),
  });
  await Promise.all([sessions.refresh(), keys.refresh(), about.refresh()]);
}

function account({ t, user }) {
  return h(
    "p",
    null,
    named(user.username),
    " ",
    h("span", { class: "tag plain" }, t(`admin.role.${user.role}`)),
  );
}

function panel(title, body, action = null) {
  return h(
    "section",
    { class: "panel" },
    h("header", null, h("h2", null, title), action && h("span", { class: "spring" }), action),
    body,
  );
}

function looks(app) {
  const { t, preferences } = app;
  const select = (name, label, options, onChange = (value) => preferences.set(name, value)) => {
    const one = field(app, { label, options, value: preferences[name].peek() ?? app.words.language });
    one.input.addEventListener("change", () => onChange(one.input.value));
    return one.element;
  };
  const keys = field(app, {
    label: t("set.keys.single"),
    type: "checkbox",
    value: preferences.singleKeys.peek(),
  });
  keys.input.addEventListener("change", () => preferences.set("singleKeys", keys.value));
  const motion = field(app, {
    label: t("set.motion"),
    type: "checkbox",
    value: preferences.motion.peek() === "reduced",
  });
  motion.input.addEventListener("change", () =>
    preferences.set("motion", motion.value ? "reduced" : "system"),
  );
  return [
    select(
      "language",
      t("lang.label"),
      [
        ["en", t("lang.en")],
        ["zh-CN", t("lang.zh")],
      ],
      (language) => app.setLanguage(language),
    ),
    select(
      "theme",
      t("theme.label"),
      ["system", "light", "dark"].map((name) => [name, t(`theme.${name}`)]),
    ),
    select(
      "density",
      t("set.density"),
      ["normal", "compact"].map((name) => [name, t(`set.density.${name}`)]),
    ),
    select(
      "times",
      t("set.times"),
      ["relative", "local", "utc"].map((name) => [name, t(`set.times.${name}`)]),
    ),
    motion.element,
    keys.element,
  ];
}

/** The views of the list of jobs that the reader has saved in this browser. */
function savedViews(app, signal) {
  const { t, preferences } = app;
  const element = h("div");
  const remove = (view) =>
    preferences.set(
      "views",
      preferences.views.peek().filter((one) => one.name !== view.name),
    );
  effect(() => {
    const saved = preferences.views.value;
    replace(
      element,
      saved.length === 0
        ? h("p", { class: "quiet-line" }, t("set.views.none"))
        : h(
            "ul",
            { class: "running-list" },
            ...saved.map((view) =>
              h(
                "li",
                null,
                h("a", { class: "what", href: to("jobs", view.query) }, named(view.name)),
                h(
                  "button",
                  {
                    type: "button",
                    class: "quiet",
                    "aria-label": `${t("act.delete")}: ${view.name}`,
                    onclick: () => remove(view),
                  },
                  t("act.delete"),
                ),
              ),
            ),
          ),
    );
  }, signal);
  return element;
}

function keyTable(app) {
  return h(
    "table",
    { class: "keys" },
    h("caption", { class: "unseen" }, app.t("set.keys")),
    h(
      "tbody",
      null,
      ...described(app).map(([keys, text]) =>
        h(
          "tr",
          null,
          h("th", { scope: "row" }, ...keys.split(" ").map((key) => [h("kbd", null, key), " "])),
          h("td", null, text),
        ),
      ),
    ),
  );
}
