// Sign in, create an account where anyone or those with an invitation may, or set a new password with a reset token.

import { h, put } from "../core/h.js";
import { field, form } from "../parts/forms.js";

/** Open the page. */
export function open(root, _address, signal, app) {
  const { t } = app;
  app.title(t("sign.title"));
  const demo = meta("headrace-demo-user");
  put(
    root,
    h(
      "section",
      { class: "panel sign" },
      h("h1", null, t("sign.title")),
      signInForm(app, signal),
      demo && h("p", { class: "meta" }, t("sign.demo", { name: demo })),
      ["open", "invitation"].includes(meta("headrace-registration")) && registration(app, signal),
      passwordReset(app, signal),
    ),
  );
}

/** The form to sign in. `onDone` is called when the reader has signed in. */
export function signInForm(app, signal, { username = "", onDone = () => {} } = {}) {
  const { t } = app;
  const name = field(app, {
    name: "username",
    label: t("sign.name"),
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    required: true,
    value: username,
    autofocus: username === "",
  });
  const password = passwordField(app, "current-password", { autofocus: username !== "" });
  return form(app, signal, {
    fields: [name, password],
    action: t("sign.go"),
    send: async (values) => {
      await app.session.signIn(values.username, values.password);
      onDone();
    },
    sentence: (problem) => sentence(app, problem),
    onFailed: () => password.input.select(),
  });
}

function registration(app, signal) {
  const { t } = app;
  const needsInvitation = meta("headrace-registration") === "invitation";
  return instead(t("sign.register"), () => {
    const invitation = tokenField(app, "invitation", t("sign.invitation"), {
      required: needsInvitation,
      note: t(needsInvitation ? "sign.token.note" : "sign.invitation.note"),
    });
    const fields = [
      needsInvitation && invitation,
      field(app, {
        name: "username",
        label: t("sign.name"),
        autocomplete: "username",
        autocapitalize: "none",
        spellcheck: "false",
        required: true,
      }),
      field(app, { name: "email", label: t("sign.email"), type: "email", autocomplete: "email" }),
      passwordField(app, "new-password"),
      !needsInvitation && invitation,
    ].filter(Boolean);
    const register = form(app, signal, {
      fields,
      action: t("sign.register"),
      send: async ({ username, email, password, invitation: token }) => {
        const { send } = await import("../api/request.js");
        const more = { ...(email && { email }), ...(token.trim() && { invitation: token.trim() }) };
        await send("POST", "users", { body: { username, password, ...more } });
        await app.session.signIn(username, password);
      },
      sentence: (problem) => sentence(app, problem),
    });
    return [register, fields[0]];
  });
}

function passwordReset(app, signal) {
  const { t } = app;
  return instead(t("sign.reset"), () => {
    const token = tokenField(app, "token", t("sign.token"), { required: true, note: t("sign.token.note") });
    const password = passwordField(app, "new-password", { label: t("set.password.new") });
    const reset = form(app, signal, {
      fields: [token, password],
      action: t("sign.reset.go"),
      send: async (values) => {
        const { send } = await import("../api/request.js");
        const body = { token: values.token.trim(), new_password: values.password };
        await send("POST", "password-resets", { body });
        app.notices.toast(t("sign.reset.done"));
        const again = signInForm(app, signal);
        reset.replaceWith(again);
        again.querySelector("input").focus();
      },
      sentence: (problem) => sentence(app, problem),
    });
    return [reset, token];
  });
}

/** A button that puts another form in place of the one that is shown. `make()` returns it and its first field. */
function instead(text, make) {
  const button = h("button", { type: "button", class: "quiet" }, text);
  button.addEventListener("click", () => {
    const section = button.closest("section");
    const [made, first] = make();
    section.querySelector("form").replaceWith(made);
    for (const other of section.querySelectorAll("[data-instead]")) {
      other.hidden = other === button;
    }
    first.input.focus();
  });
  button.dataset.instead = "";
  return button;
}

function tokenField(app, name, label, more) {
  return field(app, {
    name,
    label,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    ...more,
  });
}

function passwordField(app, autocomplete, more = {}) {
  const { t } = app;
  const password = field(app, {
    name: "password",
    label: t("sign.password"),
    type: "password",
    autocomplete,
    required: true,
    ...more,
  });
  const show = h("input", {
    type: "checkbox",
    onchange: () => (password.input.type = show.checked ? "text" : "password"),
  });
  password.element.append(h("label", { class: "check" }, show, t("sign.show")));
  return password;
}

/** The sentence for a refused sign-in: one for a wrong name and a wrong password. */
function sentence({ t, format }, problem) {
  switch (problem.code) {
    case "invalid_credentials":
      return t("sign.wrong");
    case "inactive_user":
      return t("sign.inactive");
    case "too_many_attempts":
      return t("sign.many", { t: format.whole(problem.retryAfter ?? 60) });
    case "username_taken":
      return t("sign.taken");
    case "weak_password":
      return t("sign.weak");
    default:
      return null;
  }
}

function meta(name) {
  return document.querySelector(`meta[name=${name}]`).content;
}
