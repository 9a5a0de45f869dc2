// The audit log: who did what, with filters, and whether the chain of its hashes is intact.

import { download } from "../../api/download.js";
import { h, put } from "../../core/h.js";
import { icon } from "../../parts/icons.js";
import { json } from "../../parts/json.js";
import { empty } from "../../parts/resource.js";
import { tableOf } from "../../parts/table.js";
import { filterField, nameSelect, pagedList } from "./pages.js";

const ACTIONS = [
  "session.signed_in",
  "session.signed_out",
  "session.ended",
  "session.all_ended",
  "session.refresh_token_reused",
  "password.changed",
  "password.set",
  "password.reset_issued",
  "password.reset",
  "user.created",
  "user.disabled",
  "user.enabled",
  "user.deleted",
  "user.role_changed",
  "user.share_changed",
  "user.quotas_changed",
  "invitation.issued",
  "invitation.revoked",
  "api_key.created",
  "api_key.revoked",
  "dataset.deleted",
  "model.changed",
  "model.deleted",
  "model.version_changed",
  "model.version_deleted",
  "job.cancelled",
  "job.retried",
  "job.dismissed",
  "group.cancelled",
  "queue.paused",
  "queue.resumed",
  "schedule.changed",
  "schedule.paused",
  "schedule.resumed",
  "schedule.run",
  "schedule.deleted",
  "subscription.created",
  "subscription.changed",
  "subscription.confirmed",
  "subscription.secret_rotated",
  "subscription.unsubscribed",
  "subscription.deleted",
];
const OUTCOMES = ["succeeded", "failed", "denied", "throttled"];

/** Show the tab. */
export async function show(root, { query, signal, app }) {
  const { t } = app;
  const action = nameSelect(app, ACTIONS, query.get("action"), (name) => t(`audit.${name}`));
  const outcome = nameSelect(app, OUTCOMES, query.get("outcome"), (name) => t(`audit.outcome.${name}`));
  const object = h("input", { type: "search", maxlength: 200, value: query.get("object") ?? "" });
  let actor = query.get("actor");
  const wanted = () => ({
    action: action.value || null,
    outcome: outcome.value || null,
    object: object.value.trim() || null,
    actor,
  });
  const chip = h("span");
  const changed = () => {
    app.navigator.setQuery(wanted());
    showActor();
    list.refresh();
  };
  const body = h("div");
  put(
    root,
    verification(app, signal),
    h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "filters", role: "search" },
        filterField(t("admin.audit.what"), action, changed, signal),
        filterField(t("admin.audit.outcome"), outcome, changed, signal),
        filterField(t("admin.audit.on"), object, changed, signal),
        chip,
        h("span", { class: "spring" }),
        h(
          "button",
          { type: "button", class: "plain-button", onclick: save },
          icon("download"),
          t("act.download"),
          " CSV",
        ),
      ),
      body,
    ),
  );

  /** All entries that match, not only those of the page. */
  function save() {
    const asked = Object.entries({ ...wanted(), format: "csv" }).filter(([, value]) => value !== null);
    download(app.session, `/audit?${new URLSearchParams(asked)}`, signal).catch((problem) =>
      app.fail(problem),
    );
  }

  function showActor() {
    const clear = () => {
      actor = null;
      changed();
    };
    put(
      chip,
      actor !== null &&
        h(
          "button",
          { type: "button", class: "plain-button", onclick: clear },
          t("admin.audit.by"),
          " ",
          h("bdi", { class: "mono" }, actor.slice(0, 13)),
          icon("close"),
        ),
    );
  }

  const byActor = (id) => {
    actor = id;
    changed();
  };
  const list = pagedList(app, body, {
    signal,
    path: "audit",
    query: wanted,
    render: (items) => (items.length === 0 ? empty(t("admin.audit.none")) : table(app, items, byActor)),
  });
  showActor();
  await list.refresh();
}

/** The state of the chain. It is asked for: the server walks the whole of it. */
function verification(app, signal) {
  const { t, session, format } = app;
  const said = h("p", { class: "said", role: "status" }, t("admin.audit.verify.note"));
  const button = h("button", { type: "button", class: "plain-button" }, t("admin.audit.verify"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const found = await session.get("audit/verification", {}, signal);
      put(
        said,
        h(
          "span",
          { class: found.is_intact ? "tag ok" : "tag bad" },
          found.is_intact
            ? t("admin.audit.intact", { n: format.number(found.entries) })
            : t("admin.audit.broken", { n: format.number(found.broken_seq), reason: found.reason ?? "" }),
        ),
        " ",
        h("span", { class: "mono meta" }, `${found.last.seq}:${found.last.hash}`),
        app.copyButton(`${found.last.seq}:${found.last.hash}`),
      );
    } catch (problem) {
      app.fail(problem);
    } finally {
      button.disabled = false;
    }
  });
  return h("section", { class: "panel row" }, button, said);
}

function table(app, items, byActor) {
  const { t, format } = app;
  return tableOf(
    t("admin.audit"),
    "list wide",
    [
      "#",
      t("jobs.f.created"),
      t("admin.audit.who"),
      t("admin.audit.what"),
      t("admin.audit.on"),
      t("admin.audit.from"),
    ],
    items.map((one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row", class: "number" }, format.number(one.seq)),
        h("td", { class: "meta" }, format.exact(new Date(one.at))),
        h("td", null, who(one, byActor)),
        h("td", null, h("span", { title: one.action }, textOf(app, one.action)), " ", outcomeTag(app, one)),
        h("td", null, objectOf(one), details(app, one)),
        h("td", { class: "meta" }, one.network ?? "–"),
      ),
    ),
  );
}

function who({ actor_id: id, actor_name: name }, byActor) {
  const text = h("bdi", null, name ?? "–");
  return id === null
    ? text
    : h("button", { type: "button", class: "quiet small", onclick: () => byActor(id) }, text);
}

/** The text of an action; one of a newer version as it is. */
function textOf({ t, words }, action) {
  return words.has(`audit.${action}`) ? t(`audit.${action}`) : action;
}

function outcomeTag({ t }, { outcome }) {
  return outcome !== "succeeded" && h("span", { class: "tag warn" }, t(`audit.outcome.${outcome}`));
}

function objectOf({ object_type: type, object_id: id }) {
  return h("bdi", null, [type, id?.slice(0, 36)].filter(Boolean).join(" "));
}

function details(app, { details: found }) {
  return Object.keys(found).length > 0 && h("details", null, h("summary", null, "JSON"), json(app, found));
}
