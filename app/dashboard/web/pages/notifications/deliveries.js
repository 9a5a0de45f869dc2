// The deliveries of a subscription, each with its request and the answers to it, and resending them.

import { h, put } from "../../core/h.js";
import { json } from "../../parts/json.js";
import { resource } from "../../parts/resource.js";
import { deliveryTag, targetOf } from "../notifications.js";
import { typeText } from "./types.js";

const PAGE = 50;
const STATUSES = ["failed", "pending", "delivered", "dropped"];

/** Create the panel: `{element, refresh(), show(subscription)}`. */
export function deliveries(app, signal, path) {
  const { t, session, notices, format } = app;
  const details = new Map(); // id of an open delivery → its element
  let subscription = null;
  let status = "";
  let pages = 1;
  const body = h("div");
  const again = h("span", { class: "actions" });
  const filter = h(
    "select",
    { "aria-label": t("jobs.c.state") },
    h("option", { value: "" }, t("jobs.f.any")),
    ...STATUSES.map((one) => h("option", { value: one }, t(`state.${one}`))),
  );
  filter.addEventListener("change", () => {
    status = filter.value;
    pages = 1;
    list.refresh();
  });
  const element = h(
    "section",
    { class: "panel" },
    h(
      "header",
      null,
      h("h2", null, t("note.deliveries")),
      h("label", { class: "filter" }, h("span", null, t("jobs.c.state")), filter),
      h("span", { class: "spring" }),
      again,
    ),
    body,
  );

  const list = resource(app, body, {
    signal,
    fetch: load,
    render: ({ items, cursor, failed }) => {
      put(
        again,
        app.can("submit") &&
          failed &&
          h(
            "button",
            { type: "button", class: "plain-button", onclick: () => replayAll() },
            t("note.replay.all"),
          ),
      );
      return [
        items.length === 0
          ? h("p", { class: "quiet-line" }, "–")
          : h("ul", { class: "running-list" }, ...items.map((one) => row(one))),
        cursor !== null && h("button", { type: "button", class: "quiet", onclick: more }, t("table.more")),
      ];
    },
  });

  async function load(until) {
    const items = [];
    let cursor = null;
    for (let page = 0; page < pages; page += 1) {
      const found = await session.get(`${path}/deliveries`, { limit: PAGE, status, cursor }, until);
      items.push(...found.items);
      cursor = found.next_cursor;
      if (cursor === null) {
        break;
      }
    }
    const failed = await session.get(`${path}/deliveries`, { limit: PAGE, status: "failed" }, until);
    // Tests are not sent again with the others.
    return { items, cursor, failed: failed.items.some((one) => one.type !== "ping") };
  }

  function more() {
    pages += 1;
    list.refresh();
  }

  function row(one) {
    const { delivery_id: id } = one;
    const inside = details.get(id) ?? h("div");
    const fold = h(
      "details",
      { open: details.has(id) },
      h("summary", { title: one.type }, typeText(app, one.type)),
      inside,
    );
    fold.addEventListener("toggle", async () => {
      if (!fold.open) {
        details.delete(id);
      } else if (!details.has(id)) {
        details.set(id, inside);
        try {
          const found = await session.get(`deliveries/${id}`, {}, signal);
          const named = app.words.nodes("note.delivery", { id: h("code", null, id) });
          put(
            inside,
            h("p", { class: "row meta" }, ...named, app.copyButton(id)),
            ...exchange(app, subscription, found),
          );
        } catch (problem) {
          details.delete(id);
          app.fail(problem);
        }
      }
    });
    return h(
      "li",
      { class: "delivery" },
      h("span", { class: "what" }, fold),
      one.replay_of !== null && h("span", { class: "meta" }, t("note.resent")),
      deliveryTag(app, one.status),
      one.status === "pending" &&
        Date.parse(one.next_try_at) > app.live.now() &&
        h(
          "span",
          { class: "meta" },
          ...app.words.nodes("note.next", { t: app.times.moment(one.next_try_at) }),
        ),
      h("span", { class: "meta" }, app.times.moment(one.created_at)),
      app.can("submit") &&
        one.status !== "pending" &&
        h("button", { type: "button", class: "quiet", onclick: () => replay(id) }, t("note.replay")),
    );
  }

  async function replay(id) {
    try {
      await session.post(`deliveries/${id}/replay`);
      notices.toast(t("note.replayed", { n: format.number(1) }));
      await list.refresh();
    } catch (problem) {
      app.fail(problem);
    }
  }

  async function replayAll() {
    const isAgreed = await notices.ask({
      title: t("note.replay.all"),
      text: t("note.replay.text"),
      action: t("note.replay.all"),
      isDangerous: false,
    });
    if (!isAgreed) {
      return;
    }
    try {
      // Whatever has failed since the subscription exists, and was not sent again.
      const { count } = await session.post(`${path}/replay`, { from: subscription.created_at });
      notices.toast(t("note.replayed", { n: format.number(count) }));
      await list.refresh();
    } catch (problem) {
      app.fail(problem);
    }
  }

  return {
    element,
    refresh: list.refresh,
    show: (one) => {
      subscription = one;
    },
  };
}

/** What was sent, and what came back on each try. */
function exchange(app, subscription, one) {
  const { t, format } = app;
  return [
    h("h3", null, t("note.request")),
    h(
      "p",
      { class: "meta" },
      subscription.channel === "email" ? "" : "POST ",
      h("bdi", null, targetOf(subscription)),
    ),
    h("p", { class: "mono meta" }, `webhook-id: ${one.delivery_id}`),
    one.body === null ? h("p", { class: "meta" }, t("note.gone")) : json(app, one.body),
    h("h3", null, t("note.response")),
    one.history.length === 0 && h("p", { class: "quiet-line" }, "–"),
    ...one.history.map((tried) =>
      h(
        "div",
        null,
        h(
          "p",
          { class: "meta row" },
          h("span", null, t("note.try", { n: format.number(tried.number) })),
          h("time", { datetime: tried.at }, format.exact(new Date(tried.at))),
          h("span", null, format.duration(tried.duration_ms / 1000)),
          tried.response_status !== null &&
            h(
              "span",
              { class: `tag ${tried.response_status < 300 ? "ok" : "bad"}` },
              String(tried.response_status),
            ),
          tried.error !== null && h("code", null, tried.error),
        ),
        tried.response !== null &&
          tried.response !== "" &&
          h("div", { class: "json" }, h("pre", { tabindex: 0, dir: "auto" }, tried.response)),
      ),
    ),
  ];
}
