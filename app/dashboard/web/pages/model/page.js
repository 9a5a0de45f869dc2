// A model: its versions and aliases, one version in full, and what can be done with them.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { uploadList } from "../../parts/uploads.js";
import { aliases } from "./aliases.js";
import { description } from "./describe.js";
import { askForFile } from "./upload.js";
import { describeVersion } from "./version.js";

/** Open the page. */
export async function open(root, { name, query }, signal, app) {
  const { t, session } = app;
  app.title(name);
  const path = `models/${encodeURIComponent(name)}`;
  const owner = query.get("owner");
  const about = h("div");
  const versions = h("div");
  const names = h("div");
  const details = h("div");
  const actions = h("span", { class: "actions" });
  const comparison = h("a", { class: "button", hidden: true }, t("models.compare"));
  const uploads = uploadList(app, signal);
  let model = null;
  let chosen = Number(query.get("version")) || null;
  let shown = new AbortController();
  put(
    root,
    h("header", { class: "page-head" }, h("h1", null, named(name)), h("span", { class: "spring" }), actions),
    about,
    uploads.element,
    h(
      "div",
      { class: "columns" },
      details,
      h(
        "div",
        { class: "aside" },
        h(
          "section",
          { class: "panel" },
          h("header", null, h("h2", null, t("models.version")), h("span", { class: "spring" }), comparison),
          versions,
        ),
        h("section", { class: "panel" }, h("header", null, h("h2", null, t("models.alias"))), names),
      ),
    ),
  );

  const main = resource(app, about, {
    signal,
    skeleton: 1,
    fetch: (until) => session.get(path, { owner }, until),
    render: (found) => {
      model = found;
      const mayChange = app.can("submit") && found.is_own;
      put(
        actions,
        app.can("submit") &&
          h(
            "a",
            { class: "button", href: to("new", { model: owner === null ? name : `${owner}/${name}` }) },
            t("new.what.predict"),
          ),
        mayChange &&
          h(
            "button",
            {
              type: "button",
              class: "plain-button",
              onclick: () =>
                askForFile(app, uploads, { name, signal, onDone: ({ version }) => select(version) }),
            },
            t("models.upload"),
          ),
        mayChange &&
          h(
            "button",
            {
              type: "button",
              class: "danger",
              onclick: () => remove(path, t("models.delete", { name }), name),
            },
            t("act.delete"),
          ),
      );
      showAliases();
      return [
        found.visibility === "public" &&
          !found.is_built_in &&
          h("p", null, h("span", { class: "tag" }, t("models.public"))),
        description(app, signal, {
          one: found,
          path: mayChange ? path : null,
          onChanged: () => main.refresh(),
        }),
      ];
    },
  });
  const list = resource(app, versions, {
    signal,
    fetch: (until) => session.get(`${path}/versions`, { limit: 100, owner }, until),
    render: ({ items }) => {
      chosen ??= items[0]?.version ?? null;
      compareWith(items.map((one) => one.version));
      showAliases();
      return h(
        "ul",
        { class: "running-list" },
        ...items.map((one) => versionRow(app, one, one.version === chosen, select)),
      );
    },
  });
  const version = resource(app, details, {
    signal,
    fetch: (until) => session.get(`${path}/versions/${chosen}`, { owner }, until),
    render: (one) => {
      shown.abort();
      shown = new AbortController();
      return describeVersion(app, AbortSignal.any([signal, shown.signal]), {
        one,
        path: `${path}/versions/${one.version}`,
        owner,
        isOwn: owner === null && one.owner !== null,
        onChanged: () => version.refresh(),
        onDelete: () => removeVersion(one),
      });
    },
  });

  function select(number) {
    chosen = number;
    app.navigator.setQuery({ version: number, owner });
    list.refresh();
    version.refresh();
    main.refresh();
  }

  /** Offer to compare the chosen version with the one before it, or else with the one after. */
  function compareWith(numbers) {
    const other = numbers.find((one) => one < chosen) ?? numbers.findLast((one) => one > chosen);
    comparison.hidden = other === undefined;
    comparison.href = to(`${path}/compare`, {
      a: Math.min(other, chosen),
      b: Math.max(other, chosen),
      owner,
    });
  }

  function showAliases() {
    if (model === null || chosen === null) {
      return;
    }
    const mayChange = app.can("submit") && model.is_own;
    names.parentElement.hidden = !mayChange && Object.keys(model.aliases).length === 0;
    put(
      names,
      aliases(app, signal, {
        model,
        version: chosen,
        onChanged: () => {
          main.refresh();
          list.refresh();
        },
      }),
    );
  }

  async function remove(address, title, what) {
    if (!(await app.notices.ask({ title, action: t("act.delete") }))) {
      return false;
    }
    try {
      await session.json("DELETE", address);
    } catch (problem) {
      app.fail(problem);
      return false;
    }
    app.notices.toast(t("done.deleted", { name: what }));
    if (address === path) {
      app.go("models");
    }
    return true;
  }

  async function removeVersion(one) {
    if (await remove(`${path}/versions/${one.version}`, t("data.delete", { name: one.model }), one.model)) {
      chosen = null;
      app.navigator.setQuery({ owner });
      await Promise.all([list.refresh(), main.refresh()]);
      if (chosen === null) {
        app.go("models"); // it was the last one
      } else {
        version.refresh();
      }
    }
  }

  await Promise.all([list.refresh(), main.refresh()]);
  if (chosen !== null) {
    await version.refresh();
  }
}

function versionRow(app, one, isChosen, select) {
  const { t, format, times } = app;
  return h(
    "li",
    { class: isChosen ? "selected" : null },
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-pressed": String(isChosen),
        onclick: () => select(one.version),
      },
      `${t("models.version")} ${format.number(one.version)}`,
    ),
    h(
      "span",
      { class: "what" },
      ...one.aliases.map((alias) => [h("span", { class: "tag" }, named(alias)), " "]),
    ),
    h(
      "span",
      { class: "meta" },
      one.created_at === null ? t("models.builtin") : times.moment(one.created_at),
    ),
  );
}
