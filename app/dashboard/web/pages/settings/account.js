// The account: its password, and where it is signed in.

import { h } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { resource } from "../../parts/resource.js";
import { clientText } from "./clients.js";

/** Create the form that changes the password. The server then ends all other sessions: `onChanged()`. */
export function passwordForm(app, signal, onChanged) {
  const { t, session } = app;
  const old = field(app, {
    name: "current_password",
    label: t("set.password.old"),
    type: "password",
    autocomplete: "current-password",
    required: true,
  });
  const fresh = field(app, {
    name: "new_password",
    label: t("set.password.new"),
    type: "password",
    autocomplete: "new-password",
    required: true,
  });
  return form(app, signal, {
    fields: [old, fresh],
    layout: [
      // For password managers: whose password it is.
      h("input", { type: "text", autocomplete: "username", value: app.user.username, hidden: true }),
      h("div", { class: "fields" }, old.element, fresh.element),
    ],
    action: t("act.save"),
    send: async (values) => {
      await session.post("users/me/password", values);
      old.input.value = "";
      fresh.input.value = "";
      app.notices.toast(t("done.saved"));
      onChanged();
    },
    sentence: (problem) => (problem.code === "weak_password" ? t("sign.weak") : null),
  });
}

/** Create the list of open sessions: `{element, action, refresh}`; `action` ends all but this one. */
export function sessionList(app, signal) {
  const { t, session } = app;
  const element = h("div");

  async function end(path, query = {}) {
    try {
      await session.json("DELETE", path, { query });
      app.notices.toast(t("done.saved"));
    } catch (problem) {
      app.fail(problem);
    }
    list.refresh();
  }

  async function endOthers() {
    if (await app.notices.ask({ title: t("set.session.others"), action: t("set.session.others") })) {
      await end("users/me/sessions", { keep_current: true });
    }
  }

  const action = h(
    "button",
    { type: "button", class: "plain-button", hidden: true, onclick: endOthers },
    t("set.session.others"),
  );
  const list = resource(app, element, {
    signal,
    fetch: (until) => session.get("users/me/sessions", {}, until),
    render: ({ items }) => {
      action.hidden = items.every((one) => one.is_current);
      return h(
        "ul",
        { class: "running-list" },
        ...items.map((one) => row(app, one, () => end(`users/me/sessions/${one.session_id}`))),
      );
    },
  });
  return { element, action, refresh: list.refresh };
}

function row(app, one, onEnd) {
  const { t, times } = app;
  return h(
    "li",
    null,
    h(
      "span",
      { class: "what" },
      one.client === null ? "–" : h("bdi", { title: one.client }, clientText(app, one.client)),
      " ",
      h("span", { class: "meta" }, one.network ?? ""),
    ),
    h("span", { class: "meta" }, times.moment(one.last_used_at)),
    one.is_current
      ? h("span", { class: "tag ok" }, t("time.now"))
      : h("button", { type: "button", class: "quiet", onclick: onEnd }, t("set.session.end")),
  );
}
