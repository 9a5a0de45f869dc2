// Signs the reader in again when the session has ended, without leaving the page.

import { h } from "../core/h.js";
import { watch } from "../core/signal.js";
import { signInForm } from "../pages/sign-in.js";

/** Resolve when the reader has signed in again, here or in another tab. */
export async function signInAgain(app) {
  const { t, session, notices } = app;
  const done = new AbortController();
  const before = session.user.peek();
  const holder = h("div");
  const dialog = notices.dialog(t("sign.title"), [h("p", null, t("sign.again")), holder], {
    canCancel: false,
    signal: done.signal,
    onOpen: (element, outer) => {
      // A form within a form is not possible: the dialog needs none of its own here.
      const form = signInForm(app, done.signal, {
        username: before?.username ?? "",
        onDone: () => done.abort(),
      });
      element.append(form);
      element.insertBefore(outer, form);
      (form.querySelector("[type=password]") ?? form).focus();
    },
  });
  const earlier = session.renewed.peek();
  watch(session.renewed, (count) => count !== earlier && done.abort(), done.signal);
  watch(session.user, (user) => user === null && done.abort(), done.signal);
  await dialog;
}
