// The aliases of a model: set, moved and removed. Jobs that were submitted keep their version.

import { h } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { icon } from "../../parts/icons.js";
import { named } from "../../parts/states.js";

const PAGE = 100;

/** The aliases as a list, with a form that points one to this version. `onChanged` follows each change. */
export function aliases(app, signal, { model, version, onChanged }) {
  const { t, format } = app;
  const mayChange = app.can("submit") && model.is_own;
  return [
    h(
      "ul",
      { class: "running-list" },
      ...Object.entries(model.aliases).map(([alias, number]) =>
        h(
          "li",
          null,
          h("span", { class: "what" }, named(alias), ` → ${t("models.version")} ${format.number(number)}`),
          mayChange &&
            number !== version &&
            h(
              "button",
              {
                type: "button",
                class: "plain-button",
                onclick: () => point(app, model, alias, version, onChanged),
              },
              t("models.alias.here", { n: format.number(version) }),
            ),
          mayChange &&
            h(
              "button",
              {
                type: "button",
                class: "quiet square",
                "aria-label": t("models.alias.remove", { alias }),
                title: t("models.alias.remove", { alias }),
                onclick: () => remove(app, model, alias, onChanged),
              },
              icon("close"),
            ),
        ),
      ),
    ),
    mayChange && newAlias(app, signal, { model, version, onChanged }),
  ];
}

function newAlias(app, signal, { model, version, onChanged }) {
  const { t, format } = app;
  const alias = field(app, { name: "alias", label: t("models.alias"), required: true, autocomplete: "off" });
  return form(app, signal, {
    className: "inline",
    isPrimary: false,
    fields: [alias],
    action: t("models.alias.here", { n: format.number(version) }),
    send: ({ alias: name }) => point(app, model, name.trim(), version, onChanged, { isThrown: true }),
    sentence: (problem) => (problem.code === "validation_error" ? t("models.alias.form") : null),
  });
}

async function point(app, model, alias, version, onChanged, { isThrown = false } = {}) {
  const { t, session, format } = app;
  const path = `models/${encodeURIComponent(model.name)}/aliases/${encodeURIComponent(alias)}`;
  try {
    const schedules = await schedulesOf(app, `${model.name}@${alias}`);
    const agreed = await app.notices.ask({
      title: t("models.alias.set", { alias, version: `${model.name}@${version}` }),
      text: t("models.alias.follow", { schedules: format.number(schedules) }),
      action: t("act.save"),
      isDangerous: false,
    });
    if (agreed) {
      await session.json("PUT", path, { body: { version } });
      app.notices.toast(t("done.saved"));
      onChanged();
    }
  } catch (problem) {
    if (isThrown) {
      throw problem;
    }
    app.fail(problem);
  }
}

async function remove(app, model, alias, onChanged) {
  const { t, session, format } = app;
  try {
    const schedules = await schedulesOf(app, `${model.name}@${alias}`);
    const agreed = await app.notices.ask({
      title: `${t("models.alias.remove", { alias })}?`,
      text: t("models.alias.follow", { schedules: format.number(schedules) }),
      action: t("act.delete"),
    });
    if (agreed) {
      const path = `models/${encodeURIComponent(model.name)}/aliases/${encodeURIComponent(alias)}`;
      await session.json("DELETE", path);
      app.notices.toast(t("done.deleted", { name: alias }));
      onChanged();
    }
  } catch (problem) {
    app.fail(problem);
  }
}

/** How many schedules submit jobs to a reference such as `churn@prod`. */
async function schedulesOf({ session, user }, reference) {
  const names = new Set([reference, `${user.username}/${reference}`]);
  let count = 0;
  let cursor = null;
  do {
    const page = await session.get("schedules", { limit: PAGE, cursor });
    count += page.items.filter((one) => names.has(one.job?.model)).length;
    cursor = page.next_cursor;
  } while (cursor !== null);
  return count;
}
