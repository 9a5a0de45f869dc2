// The system: the process that answers with its loops, and what it depends on.

import { h, put } from "../../core/h.js";
import { poll } from "../../parts/polling.js";
import { resource } from "../../parts/resource.js";
import { tableOf } from "../../parts/table.js";

/** Show the tab. */
export async function show(root, { signal, app }) {
  const element = h("div");
  put(root, element);
  const state = resource(app, element, {
    signal,
    skeleton: 8,
    fetch: (until) => app.session.get("system", {}, until),
    render: (system) => [facts(app, system), loops(app, system)],
  });
  poll(app, signal, () => state.refresh(), { quiet: 5000, isAbout: () => false });
  await state.refresh();
}

function facts(app, { version, uptime_seconds: uptime, is_stopping: isStopping, ...system }) {
  const { t, format, times } = app;
  const { database, redis, storage } = system;
  const rows = [
    [t("set.version"), h("span", { class: "mono" }, version)],
    [t("admin.uptime"), format.whole(uptime)],
    [
      t("admin.db"),
      [
        up(app, true),
        " Postgres ",
        database.version,
        " · ",
        t("admin.db.schema", { n: database.revision ?? "–" }),
        database.bytes !== null && [" · ", format.bytes(database.bytes)],
        database.measured_at !== null && [
          " · ",
          h("span", { class: "meta" }, times.moment(database.measured_at)),
        ],
      ],
    ],
    [t("admin.redis"), up(app, redis.is_up)],
    [t("admin.storage"), [up(app, storage.is_up), ...space(app, storage)]],
  ];
  return h(
    "section",
    { class: "panel" },
    h("h2", null, t("admin.system")),
    isStopping &&
      h("p", { class: "warning" }, t("admin.stopping", { n: format.number(system.running_jobs) })),
    !redis.is_up && h("p", { class: "warning" }, t("admin.redis.down")),
    h(
      "table",
      { class: "facts-table system" },
      h("caption", { class: "unseen" }, t("admin.system")),
      h(
        "tbody",
        null,
        ...rows.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, value))),
      ),
    ),
  );
}

function space({ t, format }, { used_bytes: used, free_bytes: free, stored_bytes: stored }) {
  const volume =
    used === null
      ? []
      : [" ", t("admin.storage.free", { free: format.bytes(free), total: format.bytes(used + free) })];
  return [...volume, " · ", t("admin.storage.stored", { n: format.bytes(stored) })];
}

function up({ t }, isUp) {
  return h("span", { class: isUp ? "tag ok" : "tag bad" }, t(isUp ? "admin.up" : "admin.unreachable"));
}

function loops(app, { loops: all }) {
  const { t, format, times } = app;
  return h(
    "section",
    { class: "panel" },
    tableOf(
      t("admin.loops"),
      "list wide",
      [
        t("admin.loop"),
        t("jobs.c.state"),
        t("admin.loop.ok"),
        t("admin.loop.rounds"),
        t("admin.loop.failures"),
      ],
      all.map((loop) =>
        h(
          "tr",
          null,
          h("th", { scope: "row", class: "mono" }, loop.loop),
          h(
            "td",
            null,
            h(
              "span",
              { class: loop.is_healthy ? "tag ok" : "tag warn" },
              t(loop.is_healthy ? "admin.loop.good" : "admin.loop.late"),
            ),
          ),
          h("td", null, times.moment(loop.last_success_at)),
          h("td", { class: "number" }, loop.rounds === null ? "–" : format.number(loop.rounds)),
          h("td", { class: "number" }, loop.failures === null ? "–" : format.number(loop.failures)),
        ),
      ),
    ),
  );
}
