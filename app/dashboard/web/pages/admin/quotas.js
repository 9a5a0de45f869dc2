// Quotas: what a user has, and may have. Choose the user first.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { field, form } from "../../parts/forms.js";
import { empty, resource } from "../../parts/resource.js";
import { filterField, pagedList } from "./pages.js";

const GIGABYTE = 1e9;

// The name of each quota in the API, its text, and whether it counts bytes.
const QUOTAS = [
  ["active_jobs", "admin.quota.active", false],
  ["running_jobs", "admin.quota.running", false],
  ["stored_bytes", "admin.quota.bytes", true],
  ["model_bytes", "nav.models", true],
  ["streams", "admin.quota.streams", false],
  ["schedules", "nav.schedules", false],
  ["subscriptions", "nav.notifications", false],
];

/** Show the tab. */
export async function show(root, { query, signal, app }) {
  const user = query.get("user");
  await (user === null ? choose(root, app, signal) : edit(root, app, signal, user));
}

async function choose(root, app, signal) {
  const { t } = app;
  const name = h("input", { type: "search", maxlength: 64 });
  const body = h("div");
  put(
    root,
    h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "filters", role: "search" },
        filterField(t("sign.name"), name, () => list.refresh(), signal),
      ),
      body,
    ),
  );
  const list = pagedList(app, body, {
    signal,
    path: "users",
    query: () => ({ username: name.value.trim() || null }),
    render: (items) =>
      items.length === 0
        ? empty(t("admin.user.none"))
        : h(
            "ul",
            { class: "running-list" },
            ...items.map((one) =>
              h(
                "li",
                null,
                h(
                  "span",
                  { class: "what" },
                  h("a", { href: to("admin/quotas", { user: one.user_id }) }, h("bdi", null, one.username)),
                ),
                h("span", { class: "meta" }, t(`admin.role.${one.role}`)),
              ),
            ),
          ),
  });
  await list.refresh();
}

async function edit(root, app, signal, userId) {
  const { session } = app;
  const element = h("section", { class: "panel" });
  put(root, element);
  const path = `users/${encodeURIComponent(userId)}`;
  const panel = resource(app, element, {
    signal,
    skeleton: 8,
    fetch: async (until) => {
      const [user, quotas] = await Promise.all([
        session.get(path, {}, until),
        session.get(`${path}/quotas`, {}, until),
      ]);
      return { user, quotas };
    },
    render: ({ user, quotas }) => [
      h("h2", null, app.t("admin.quotas"), ": ", h("bdi", null, user.username)),
      quotaForm(app, signal, path, quotas, () => panel.refresh()),
    ],
  });
  await panel.refresh();
}

function quotaForm(app, signal, path, quotas, onSaved) {
  const { t, session, notices } = app;
  const fields = QUOTAS.map(([name, key, isBytes]) => quotaField(app, name, t(key), isBytes, quotas[name]));
  return form(app, signal, {
    fields,
    layout: [
      h("div", { class: "fields" }, ...fields.map((one) => one.element)),
      h("p", { class: "meta" }, t("admin.quota.note")),
    ],
    action: t("act.save"),
    send: async (values) => {
      const body = Object.fromEntries(
        QUOTAS.map(([name, , isBytes]) => [`max_${name}`, limitOf(values[`max_${name}`], isBytes)]),
      );
      await session.json("PUT", `${path}/quotas`, { body });
      notices.toast(t("done.saved"));
      onSaved();
    },
  });
}

function quotaField(app, name, label, isBytes, { used, limit, is_default: isDefault }) {
  const { t, format } = app;
  const say = (count) => (isBytes ? format.bytes(count) : format.number(count));
  const shown = limit === null ? t("admin.quota.none") : say(limit);
  return field(app, {
    name: `max_${name}`,
    label: isBytes ? `${label} (GB)` : label,
    type: "number",
    min: 0,
    step: isBytes ? "any" : 1,
    value: isDefault ? "" : String((limit ?? 0) / (isBytes ? GIGABYTE : 1)),
    placeholder: isDefault ? shown : null,
    note: [
      limit === null
        ? t("admin.quota.free", { used: say(used) })
        : t("data.quota", { used: say(used), limit: shown }),
      isDefault ? ` · ${t("admin.quota.default")}` : "",
    ].join(""),
  });
}

/** The limit in the body of the request: null for the default. */
function limitOf(text, isBytes) {
  return text.trim() === "" ? null : Math.round(Number(text) * (isBytes ? GIGABYTE : 1));
}
