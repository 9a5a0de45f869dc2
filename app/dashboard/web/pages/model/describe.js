// What a model or a version is for: its description and its tags, with a dialog that changes them.

import { h } from "../../core/h.js";
import { formDialog } from "../../parts/form-dialog.js";
import { field } from "../../parts/forms.js";
import { icon } from "../../parts/icons.js";
import { named } from "../../parts/states.js";

const PAIR = /^([^=]+)=(.*)$/;

/** The description and the tags, with a button that changes them if `path` is that of something one owns. */
export function description(app, signal, { one, path, onChanged }) {
  const { t } = app;
  const tags = Object.entries(one.tags);
  return h(
    "div",
    { class: "described" },
    one.description && h("p", { class: "prose", dir: "auto" }, one.description),
    h(
      "p",
      { class: "row" },
      ...tags.map(([key, value]) => h("span", { class: "tag" }, named(`${key}=${value}`))),
      path !== null &&
        h(
          "button",
          { type: "button", class: "quiet", onclick: () => edit(app, signal, { one, path, onChanged }) },
          icon("sliders"),
          t("models.describe"),
        ),
    ),
  );
}

async function edit(app, signal, { one, path, onChanged }) {
  const { t, session } = app;
  const text = field(app, {
    name: "description",
    label: t("models.description"),
    rows: 5,
    maxlength: 10_000,
    value: one.description ?? "",
  });
  const tags = field(app, {
    name: "tags",
    label: t("models.tags"),
    note: t("models.tags.note"),
    rows: 3,
    value: Object.entries(one.tags)
      .map(([key, value]) => `${key}=${value}`)
      .join("\n"),
  });
  await formDialog(app, signal, {
    title: t("models.describe"),
    fields: [text, tags],
    action: t("act.save"),
    send: async ({ description: said, tags: lines }) => {
      const pairs = lines
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean);
      if (!pairs.every((line) => PAIR.test(line))) {
        tags.setFault(t("models.tags.note"));
        tags.input.focus();
        return false;
      }
      const body = {
        description: said.trim() === "" ? null : said,
        tags: Object.fromEntries(pairs.map((line) => PAIR.exec(line).slice(1))),
      };
      await session.json("PATCH", path, { body });
      app.notices.toast(t("done.saved"));
      onChanged();
      return true;
    },
  });
}
