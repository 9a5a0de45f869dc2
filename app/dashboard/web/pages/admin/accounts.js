// New users: created with a password, or invited with a token that creates one account.

import { ROLES } from "../../api/rights.js";
import { h } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { pagedList } from "./pages.js";

const DAY_SECONDS = 86_400;
const DAYS = [1, 7, 30, 90];

/** The forms, folded. `onCreated` is called when there is a new user. */
export function accountForms(app, signal, onCreated) {
  const { t } = app;
  const invited = h("details", { class: "panel" }, h("summary", null, t("admin.invite")));
  // The open invitations are loaded when the reader opens them.
  invited.addEventListener(
    "toggle",
    () => invited.childElementCount === 1 && invited.append(...invite(app, signal)),
    {
      signal,
    },
  );
  return h(
    "div",
    { class: "stack" },
    h("details", { class: "panel" }, h("summary", null, t("admin.user.new")), create(app, signal, onCreated)),
    invited,
  );
}

/** Show a secret once, with what it is for. */
export function showSecret(app, title, secret, note) {
  const { t, notices } = app;
  return notices.dialog(title, [
    h("p", null, t("set.apikey.once")),
    h("p", { class: "secret" }, h("code", null, secret), app.copyButton(secret)),
    h("p", { class: "meta" }, note),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, t("act.close"))),
  ]);
}

function create(app, signal, onCreated) {
  const { t, session, notices } = app;
  const name = field(app, { name: "username", label: t("sign.name"), autocomplete: "off", required: true });
  const email = field(app, { name: "email", label: t("sign.email"), type: "email", autocomplete: "off" });
  const password = field(app, {
    name: "password",
    label: t("sign.password"),
    type: "password",
    autocomplete: "new-password",
    required: true,
  });
  const role = roleField(app);
  const fields = [name, email, password, role];
  return form(app, signal, {
    fields,
    layout: [h("div", { class: "fields" }, ...fields.map((one) => one.element))],
    action: t("admin.user.new"),
    send: async (values) => {
      await session.post("users", {
        username: values.username,
        password: values.password,
        role: values.role,
        ...(values.email && { email: values.email }),
      });
      for (const one of [name, email, password]) {
        one.input.value = "";
      }
      notices.toast(t("done.saved"));
      onCreated();
    },
    sentence: (problem) =>
      ({ username_taken: t("sign.taken"), weak_password: t("sign.weak") })[problem.code] ?? null,
  });
}

function invite(app, signal) {
  const { t, session, format } = app;
  const role = roleField(app);
  const days = field(app, {
    name: "days",
    label: t("set.apikey.expires"),
    options: DAYS.map((count) => [count, t("time.in", { t: format.whole(count * DAY_SECONDS) })]),
    value: 7,
  });
  const body = h("div");
  const open = pagedList(app, body, {
    signal,
    path: "invitations",
    render: (items) =>
      h("ul", { class: "running-list" }, ...items.map((one) => invitation(app, one, () => open.refresh()))),
  });
  open.refresh();
  return [
    form(app, signal, {
      fields: [role, days],
      layout: [h("div", { class: "fields" }, role.element, days.element)],
      action: t("admin.invite"),
      send: async (values) => {
        const body = { role: values.role, expires_in_seconds: Number(values.days) * DAY_SECONDS };
        const { token, expires_at: until } = await session.post("invitations", body);
        open.refresh();
        await showSecret(
          app,
          t("admin.invite"),
          token,
          t("admin.invite.note", { t: format.exact(new Date(until)) }),
        );
      },
    }),
    body,
  ];
}

function invitation(app, one, onRevoked) {
  const { t, session, times } = app;
  const revoke = async () => {
    try {
      await session.json("DELETE", `invitations/${one.invitation_id}`);
      onRevoked();
    } catch (problem) {
      app.fail(problem);
    }
  };
  return h(
    "li",
    null,
    h("span", { class: "what" }, t(`admin.role.${one.role}`)),
    h("span", { class: "meta" }, t("set.apikey.expires"), " ", times.moment(one.expires_at)),
    h("button", { type: "button", class: "quiet", onclick: revoke }, t("admin.invite.revoke")),
  );
}

function roleField(app) {
  const { t } = app;
  return field(app, {
    name: "role",
    label: t("admin.role"),
    options: ROLES.map((name) => [name, t(`admin.role.${name}`)]),
    value: "user",
  });
}
