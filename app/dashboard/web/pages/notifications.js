// Webhooks and other subscriptions: their state and last delivery, and a form for a new one.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { poll } from "../parts/polling.js";
import { empty, resource } from "../parts/resource.js";
import { named } from "../parts/states.js";
import { channelOf, subscriptionForm } from "./notifications/form.js";
import { showSecret } from "./notifications/secret.js";

/** Open the page. */
export async function open(root, _address, signal, app) {
  const { t, session } = app;
  app.title(t("note.title"));
  const body = h("div");
  const made = h("div");
  put(
    root,
    h("header", { class: "page-head" }, h("h1", null, t("note.title"))),
    made,
    h("section", { class: "panel" }, body),
  );
  const list = resource(app, body, {
    signal,
    fetch: (until) => session.get("subscriptions", { limit: 100 }, until),
    render: ({ items }) =>
      items.length === 0
        ? empty(t("note.empty"))
        : h("ul", { class: "running-list" }, ...items.map((one) => row(app, one))),
  });
  if (app.can("submit")) {
    const { items: types } = await session
      .get("event-types", {}, signal)
      .catch((problem) =>
        problem.status === undefined && !signal.aborted ? Promise.reject(problem) : { items: [] },
      );
    if (signal.aborted) {
      return;
    }
    put(made, creation(app, signal, types, list));
  }
  poll(app, signal, list.refresh, { busy: 5000 });
  await list.refresh();
}

function creation(app, signal, types, list) {
  const { t, session, notices } = app;
  const body = subscriptionForm(app, signal, {
    types,
    action: t("note.new"),
    send: async (request) => {
      const created = await session.post("subscriptions", request);
      list.refresh();
      if (created.status === "pending") {
        notices.toast(t("note.confirm", { address: created.target.address ?? "" }));
      } else {
        notices.toast(t("done.saved"));
      }
      if (created.secret) {
        await showSecret(app, created.secret);
      }
    },
  });
  return h("details", { class: "panel" }, h("summary", null, t("note.new")), body);
}

function row(app, one) {
  const { times } = app;
  const last = one.last_delivery;
  return h(
    "li",
    null,
    h(
      "span",
      { class: "what" },
      h("a", { href: to(`notifications/${one.subscription_id}`) }, named(one.name)),
      " ",
      h("span", { class: "tag" }, channelOf(app, one.channel)),
      " ",
      h("span", { class: "meta" }, named(targetOf(one), { max: 60 })),
    ),
    stateTag(app, one),
    last !== null && deliveryTag(app, last.status),
    h("span", { class: "meta" }, last === null ? "–" : times.moment(last.ended_at ?? last.created_at)),
  );
}

/** Where a subscription delivers, as text. */
export function targetOf({ target, channel }) {
  return String(target.url ?? target.address ?? channel);
}

/** The state of a delivery. */
export function deliveryTag({ t, words }, status) {
  const key = `state.${status}`;
  const look = { failed: "bad", dropped: "warn", delivered: "ok" }[status] ?? "";
  return h("span", { class: `tag ${look}` }, words.has(key) ? t(key) : status);
}

/** The state of a subscription. */
export function stateTag(app, one) {
  const { t, format } = app;
  if (one.status === "disabled") {
    return h("span", { class: "tag warn" }, t("note.state.off"));
  }
  if (one.status === "pending") {
    return h("span", { class: "tag" }, t("note.state.unconfirmed"));
  }
  if (one.failing_since !== null) {
    return h(
      "span",
      { class: "tag bad" },
      t("note.state.failing", { t: format.exact(new Date(one.failing_since)) }),
    );
  }
  return h("span", { class: "tag ok" }, t("note.state.ok"));
}
