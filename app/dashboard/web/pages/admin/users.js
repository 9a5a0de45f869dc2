// Users: their roles, disabling and deleting them, sessions and passwords; new users and invitations.

import { ROLES } from "../../api/rights.js";
import { h, put } from "../../core/h.js";
import { menuButton } from "../../parts/menu.js";
import { empty } from "../../parts/resource.js";
import { tableOf } from "../../parts/table.js";
import { accountForms, showSecret } from "./accounts.js";
import { filterField, nameSelect, pagedList } from "./pages.js";

/** Show the tab. */
export async function show(root, { signal, app }) {
  const { t } = app;
  const name = h("input", { type: "search", maxlength: 64 });
  const role = nameSelect(app, ROLES, null, (one) => t(`admin.role.${one}`));
  const body = h("div");
  const refresh = () => list.refresh();
  put(
    root,
    accountForms(app, signal, refresh),
    h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "filters", role: "search" },
        filterField(t("sign.name"), name, refresh, signal),
        filterField(t("admin.role"), role, refresh, signal),
      ),
      body,
    ),
  );
  const list = pagedList(app, body, {
    signal,
    path: "users",
    query: () => ({ username: name.value.trim() || null, role: role.value || null }),
    render: (items) => (items.length === 0 ? empty(t("admin.user.none")) : table(app, items, refresh)),
  });
  await list.refresh();
}

function table(app, items, onChanged) {
  const { t, times } = app;
  return tableOf(
    t("admin.users"),
    "list wide",
    [
      t("sign.name"),
      t("admin.role"),
      t("admin.user.last"),
      t("jobs.f.created"),
      h("span", { class: "unseen" }, t("act.more")),
    ],
    items.map((one) =>
      h(
        "tr",
        null,
        h(
          "th",
          { scope: "row" },
          h("bdi", null, one.username),
          !one.is_active && [" ", h("span", { class: "tag" }, t("admin.user.disabled"))],
        ),
        h("td", null, role(app, one, onChanged)),
        h("td", { class: "meta" }, times.moment(one.last_request_at)),
        h("td", { class: "meta" }, times.moment(one.created_at)),
        h("td", { class: "row-menu" }, menuOf(app, one, onChanged)),
      ),
    ),
  );
}

function role(app, one, onChanged) {
  const { t, user } = app;
  const select = h(
    "select",
    { "aria-label": `${t("admin.role")}: ${one.username}`, disabled: one.user_id === user.user_id },
    ...ROLES.map((name) =>
      h("option", { value: name, selected: name === one.role }, t(`admin.role.${name}`)),
    ),
  );
  select.addEventListener("change", () => change(app, one, { role: select.value }, onChanged));
  return select;
}

function menuOf(app, one, onChanged) {
  const { t, user } = app;
  const quotas = { text: t("admin.quotas"), run: () => app.go("admin/quotas", { user: one.user_id }) };
  const others =
    one.user_id === user.user_id
      ? []
      : [
          { text: t("admin.user.reset"), run: () => reset(app, one) },
          { text: t("admin.user.sessions"), run: () => endSessions(app, one) },
          one.is_active
            ? { text: t("admin.user.close"), run: () => close(app, one, onChanged), isDangerous: true }
            : { text: t("admin.user.open"), run: () => change(app, one, { is_active: true }, onChanged) },
          { text: t("act.delete"), run: () => remove(app, one, onChanged), isDangerous: true },
        ];
  return menuButton({
    label: `${t("act.more")}: ${one.username}`,
    items: () => [quotas, ...others],
  });
}

async function close(app, one, onChanged) {
  const { t } = app;
  const action = t("admin.user.close");
  if (await app.notices.ask({ title: `${action}: ${one.username}`, action })) {
    await change(app, one, { is_active: false }, onChanged);
  }
}

async function change(app, one, changes, onChanged) {
  await attempt(app, async () => {
    await app.session.json("PATCH", `users/${one.user_id}`, { body: changes });
    app.notices.toast(app.t("done.saved"));
  });
  onChanged();
}

async function remove(app, one, onChanged) {
  const { t, session, notices } = app;
  const isAgreed = await notices.ask({
    title: t("data.delete", { name: one.username }),
    text: t("admin.user.delete"),
    action: t("act.delete"),
  });
  if (isAgreed) {
    await attempt(app, async () => {
      await session.json("DELETE", `users/${one.user_id}`);
      notices.toast(t("done.deleted", { name: one.username }));
    });
    onChanged();
  }
}

async function endSessions(app, one) {
  const { t, session, notices } = app;
  const action = t("admin.user.sessions");
  if (await notices.ask({ title: `${action}: ${one.username}`, action })) {
    await attempt(app, async () => {
      await session.json("DELETE", `users/${one.user_id}/sessions`);
      notices.toast(t("done.saved"));
    });
  }
}

async function reset(app, one) {
  const { t, session, format } = app;
  await attempt(app, async () => {
    const { token, expires_at: until } = await session.post(`users/${one.user_id}/password-reset`);
    await showSecret(
      app,
      `${t("admin.user.reset")}: ${one.username}`,
      token,
      t("admin.user.reset.note", { t: format.exact(new Date(until)) }),
    );
  });
}

async function attempt(app, act) {
  try {
    await act();
  } catch (problem) {
    app.fail(problem);
  }
}
