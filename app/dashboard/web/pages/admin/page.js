// Administration: a tab for each of users, queues, quotas, the audit log and the system.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { empty } from "../../parts/resource.js";

// The name of each tab, what one must be allowed to do, and its module.
const TABS = [
  ["users", "administer", () => import("./users.js")],
  ["queues", "operate", () => import("./queues.js")],
  ["quotas", "administer", () => import("./quotas.js")],
  ["audit", "administer", () => import("./audit.js")],
  ["system", "administer", () => import("./system.js")],
];

/** Open the page. Without a tab, it shows the first that the reader may see. */
export async function open(root, { tab, query }, signal, app) {
  const { t } = app;
  const allowed = TABS.filter(([, action]) => app.can(action));
  const [name, action, load] = TABS.find(([one]) => one === tab) ?? allowed[0] ?? TABS[0];
  app.title(t("nav.admin"));
  const body = h("div", { class: "stack" });
  put(
    root,
    h("header", { class: "page-head" }, h("h1", null, t("nav.admin"))),
    allowed.length > 0 &&
      h(
        "nav",
        { class: "tabs", "aria-label": t("nav.admin") },
        ...allowed.map(([one]) =>
          h(
            "a",
            { class: "tab", href: to(`admin/${one}`), "aria-current": one === name ? "page" : null },
            t(`admin.${one}`),
          ),
        ),
      ),
    body,
  );
  if (!app.can(action)) {
    const role = t(action === "operate" ? "admin.role.operator" : "admin.role.admin");
    put(body, h("section", { class: "panel" }, empty(t("fault.role", { role }))));
    return;
  }
  const { show } = await load();
  if (!signal.aborted) {
    await show(body, { query, signal, app });
  }
}
