// One subscription: its state, a test, its secret, changes to it, and its deliveries.

import { h, put } from "../core/h.js";
import { menuButton } from "../parts/menu.js";
import { poll } from "../parts/polling.js";
import { resource } from "../parts/resource.js";
import { kindOf, named } from "../parts/states.js";
import { stateTag, targetOf } from "./notifications.js";
import { deliveries } from "./notifications/deliveries.js";
import { channelOf, subscriptionForm } from "./notifications/form.js";
import { showSecret } from "./notifications/secret.js";
import { typeText } from "./notifications/types.js";

const TEST_MILLISECONDS = 30_000;

/** Open the page. */
export async function open(root, { id }, signal, app) {
  const { t, session, notices } = app;
  const path = `subscriptions/${encodeURIComponent(id)}`;
  app.title(t("note.title"));
  const title = h("h1", null, t("note.title"));
  const actions = h("span", { class: "actions" });
  const about = h("div");
  let shown = null;
  const editor = h("div", { hidden: true });
  const list = deliveries(app, signal, path);
  put(
    root,
    h("header", { class: "page-head" }, title, h("span", { class: "spring" }), actions),
    about,
    editor,
    list.element,
  );

  const main = resource(app, about, {
    signal,
    fetch: (until) => session.get(path, {}, until),
    render: (one) => {
      app.title(one.name);
      put(title, named(one.name));
      list.show(one);
      shown = one;
      if (app.can("submit") && actions.childElementCount === 0) {
        put(actions, ...buttons()); // they stay: a menu of theirs may be open
      }
      return describe(app, one);
    },
  });
  const refresh = () => Promise.all([main.refresh(), list.refresh()]);

  function buttons() {
    return [
      h("button", { type: "button", class: "plain-button", onclick: () => test() }, t("note.test")),
      menuButton({
        label: t("act.more"),
        text: t("act.more"),
        symbol: "chevron",
        className: "plain-button",
        items,
      }),
      h("button", { type: "button", class: "danger", onclick: () => remove(shown) }, t("act.delete")),
    ];
  }

  function items() {
    const one = shown;
    const turn = (status) => act(() => session.json("PATCH", path, { body: { status } }));
    return [
      { text: t("act.edit"), run: () => edit(one) },
      one.status === "disabled"
        ? { text: t("note.enable"), run: () => turn("active") }
        : { text: t("note.disable"), run: () => turn("disabled") },
      one.channel === "webhook" && { text: t("note.rotate"), run: () => rotate() },
    ].filter(Boolean);
  }

  async function act(run, said = t("done.saved")) {
    try {
      await run();
      notices.toast(said);
      await refresh();
    } catch (problem) {
      app.fail(problem);
    }
  }

  async function test() {
    try {
      const {
        status,
        error,
        response_status: answered,
      } = await session.json("POST", `${path}/test`, {
        timeout: TEST_MILLISECONDS,
      });
      const isFailed = status === "failed" || status === "dropped";
      const why = error ?? (answered === null ? "" : String(answered));
      notices.toast(
        isFailed
          ? t("note.test.failed", { reason: why })
          : t(status === "delivered" ? "note.test.ok" : "note.test.waiting"),
        { kind: isFailed ? "bad" : "ok" },
      );
      await refresh();
    } catch (problem) {
      app.fail(problem);
    }
  }

  async function edit(one) {
    try {
      const { items: types } = await session.get("event-types", {}, signal);
      const close = () => {
        editor.hidden = true;
        editor.replaceChildren();
      };
      const body = subscriptionForm(app, signal, {
        types,
        given: one,
        action: t("act.save"),
        send: async (changes) => {
          await session.json("PATCH", path, { body: changes });
          notices.toast(t("done.saved"));
          close();
          await refresh();
        },
      });
      put(
        editor,
        h(
          "section",
          { class: "panel step" },
          h(
            "header",
            null,
            h("h2", null, t("act.edit")),
            h("span", { class: "spring" }),
            h("button", { type: "button", class: "quiet", onclick: close }, t("act.close")),
          ),
          body,
        ),
      );
      editor.hidden = false;
      body.querySelector("input").focus();
    } catch (problem) {
      app.fail(problem);
    }
  }

  async function rotate() {
    const isAgreed = await notices.ask({
      title: t("note.rotate.title"),
      text: t("note.rotate.text"),
      action: t("note.rotate"),
      isDangerous: false,
    });
    if (!isAgreed) {
      return;
    }
    try {
      const { secret } = await session.post(`${path}/rotate-secret`);
      await showSecret(app, secret);
      await refresh();
    } catch (problem) {
      app.fail(problem);
    }
  }

  async function remove(one) {
    if (await notices.ask({ title: t("note.delete", { name: one.name }), action: t("act.delete") })) {
      try {
        await session.json("DELETE", path);
        notices.toast(t("done.deleted", { name: one.name }));
        app.go("notifications");
      } catch (problem) {
        app.fail(problem);
      }
    }
  }

  poll(app, signal, refresh, { busy: 3000 });
  await refresh();
}

function describe(app, one) {
  const { t, format, words } = app;
  const { kind, metadata, ...filter } = one.filter;
  const chips = [
    kind !== null && `${t("jobs.f.kind")}: ${kindOf(app, kind)}`,
    ...Object.entries(filter).map(([name, value]) => value !== null && `${name} = ${value}`),
    ...Object.entries(metadata ?? {}).map(([name, value]) => `${name}=${value}`),
  ].filter(Boolean);
  const reason = one.reason === null ? null : `note.reason.${one.reason.code}`;
  return h(
    "section",
    { class: "panel step" },
    h(
      "p",
      { class: "row" },
      stateTag(app, one),
      h("span", { class: "tag" }, channelOf(app, one.channel)),
      named(targetOf(one), { max: 80 }),
    ),
    reason !== null && h("p", { class: "warning" }, words.has(reason) ? t(reason) : one.reason.code),
    h(
      "p",
      { class: "row" },
      ...one.events.map((event) => h("span", { class: "tag plain", title: event }, typeText(app, event))),
    ),
    chips.length > 0 &&
      h("p", { class: "row" }, ...chips.map((text) => h("span", { class: "chip plain", dir: "auto" }, text))),
    h(
      "p",
      { class: "meta row" },
      h("span", null, t("note.pending", { n: format.number(one.pending) })),
      one.failures > 0 && h("span", null, t("note.failures", { n: format.number(one.failures) })),
      one.held_until !== null && h("span", null, t("note.held"), " ", app.times.moment(one.held_until)),
    ),
  );
}
