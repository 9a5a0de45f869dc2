// API keys: a new one with its secret, shown once, and those that there are.

import { scopesOf } from "../../api/rights.js";
import { h, put } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";

const DAY_SECONDS = 86_400;
const LIFETIMES_DAYS = [7, 30, 90, 365];
const DEFAULT_DAYS = 90;
const PAGE = 100;

/** Create the list with its form: `{element, refresh}`. */
export function apiKeys(app, signal) {
  const { t, session } = app;
  const rows = h("div");
  const list = resource(app, rows, {
    signal,
    fetch: (until) => all(session, until),
    render: (items) =>
      items.length === 0
        ? h("p", { class: "quiet-line" }, t("set.apikey.none"))
        : keyTable(app, items, list.refresh),
  });
  return { element: h("div", null, rows, newKey(app, signal, list.refresh)), refresh: list.refresh };
}

/** All keys of the user: the server allows few. */
async function all(session, signal) {
  const items = [];
  let cursor = null;
  do {
    const page = await session.get("api-keys", { limit: PAGE, cursor }, signal);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

function keyTable(app, items, onChanged) {
  const { t, times, format } = app;
  return tableOf(
    t("set.apikeys"),
    "list",
    [
      t("sched.name"),
      t("set.apikey.scopes"),
      t("jobs.f.created"),
      t("set.apikey.expires"),
      t("set.apikey.used"),
      h("span", { class: "unseen" }, t("act.more")),
    ],
    items.map((one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, named(one.name)),
        h("td", null, h("code", null, one.scopes.join(" "))),
        h("td", { class: "meta" }, times.moment(one.created_at)),
        h(
          "td",
          { class: "meta" },
          one.expires_at === null ? t("set.apikey.never") : format.exact(new Date(one.expires_at)),
        ),
        h("td", { class: "meta" }, times.moment(one.last_used_at)),
        h(
          "td",
          { class: "end" },
          h(
            "button",
            {
              type: "button",
              class: "quiet bad",
              "aria-label": `${t("set.apikey.do")}: ${one.name}`,
              onclick: () => revoke(app, one, onChanged),
            },
            t("set.apikey.do"),
          ),
        ),
      ),
    ),
  );
}

async function revoke(app, one, onChanged) {
  const { t, session, notices } = app;
  const isAgreed = await notices.ask({
    title: `${t("set.apikey.do")}: ${one.name}`,
    text: t("set.apikey.revoke"),
    action: t("set.apikey.do"),
  });
  if (!isAgreed) {
    return;
  }
  try {
    await session.json("DELETE", `api-keys/${one.key_id}`);
    notices.toast(t("done.deleted", { name: one.name }));
  } catch (problem) {
    app.fail(problem);
  }
  onChanged();
}

function newKey(app, signal, onCreated) {
  const { t, session, format, user } = app;
  const name = field(app, { name: "name", label: t("sched.name"), required: true, maxlength: 100 });
  const expires = field(app, {
    name: "expires_in_seconds",
    label: t("set.apikey.expires"),
    options: [
      ...LIFETIMES_DAYS.map((days) => [days * DAY_SECONDS, format.whole(days * DAY_SECONDS)]),
      ["", t("set.apikey.longest")],
    ],
    value: DEFAULT_DAYS * DAY_SECONDS,
  });
  const scopes = h(
    "fieldset",
    { class: "fields" },
    h("legend", null, t("set.apikey.scopes")),
    ...scopesOf(user).map((scope) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", value: scope }), h("code", null, scope)),
    ),
  );
  const fault = h("p", { class: "form-fault", role: "alert", hidden: true }, t("set.apikey.pick"));
  const secret = h("div", { role: "status" });
  const boxes = () => [...scopes.querySelectorAll("input")];

  async function send(values) {
    const chosen = boxes().filter((box) => box.checked);
    fault.hidden = chosen.length > 0;
    if (chosen.length === 0) {
      boxes()[0].focus();
      return;
    }
    put(secret);
    const created = await session.post("api-keys", {
      name: values.name,
      scopes: chosen.map((box) => box.value),
      expires_in_seconds: values.expires_in_seconds === "" ? null : Number(values.expires_in_seconds),
    });
    put(
      secret,
      h("p", null, h("strong", null, named(created.name)), " ", t("set.apikey.once")),
      h("p", { class: "secret" }, h("code", null, created.key), app.copyButton(created.key)),
    );
    name.input.value = "";
    chosen.forEach((box) => (box.checked = false));
    onCreated();
  }

  const body = form(app, signal, {
    fields: [name, expires],
    layout: [h("div", { class: "fields" }, name.element, expires.element), scopes, fault],
    action: t("set.apikey.new"),
    send,
  });
  return h("details", null, h("summary", null, t("set.apikey.new")), body, secret);
}
