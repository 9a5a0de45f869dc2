// The schedules: when each runs next, how its last jobs ended, and what can be done with one and with a group.

import { h, put } from "../core/h.js";
import { to } from "../core/places.js";
import { menuButton } from "../parts/menu.js";
import { poll } from "../parts/polling.js";
import { empty, resource } from "../parts/resource.js";
import { kindOf, named } from "../parts/states.js";
import { tableOf } from "../parts/table.js";
import { groupItems, scheduleItems } from "./schedules/actions.js";
import { recent, statusTag } from "./schedules/marks.js";
import { ruleOf } from "./schedules/words.js";

const PAGE = 100;
const MAX_PAGES = 10;

/** Open the page. */
export async function open(root, _address, signal, app) {
  const { t, session } = app;
  app.title(t("sched.title"));
  const create = () => h("a", { href: to("schedules/new"), class: "button" }, t("sched.new"));
  const body = h("div");
  put(
    root,
    h(
      "header",
      { class: "page-head" },
      h("h1", null, t("sched.title")),
      h("span", { class: "spring" }),
      app.can("submit") && create(),
    ),
    body,
  );
  const list = resource(app, body, {
    signal,
    fetch: (until) => all(session, until),
    render: (items) => {
      if (items.length === 0) {
        return h("section", { class: "panel" }, empty(t("sched.empty"), app.can("submit") && create()));
      }
      const groups = Map.groupBy(
        items.toSorted((a, b) => a.name.localeCompare(b.name)),
        (one) => one.group ?? null,
      );
      const names = [...groups.keys()].toSorted((a, b) => (a ?? "\uffff").localeCompare(b ?? "\uffff"));
      return names.map((name) => section(app, name, groups.get(name), list));
    },
  });
  poll(app, signal, list.refresh, { busy: 5000 });
  await list.refresh();
}

/** All schedules: groups would be torn apart by pages. */
async function all(session, until) {
  const items = [];
  let cursor = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const found = await session.get("schedules", { limit: PAGE, cursor }, until);
    items.push(...found.items);
    cursor = found.next_cursor;
    if (cursor === null) {
      break;
    }
  }
  return items;
}

function section(app, name, members, list) {
  const { t, format } = app;
  return h(
    "section",
    { class: "panel" },
    name !== null &&
      h(
        "header",
        null,
        h("h2", null, named(name)),
        h("span", { class: "meta" }, format.number(members.length)),
        h("span", { class: "spring" }),
        app.can("submit") &&
          menuButton({
            label: `${t("act.more")}: ${name}`,
            items: () => groupItems(app, name, members.length, list.refresh),
          }),
      ),
    tableOf(
      name ?? t("sched.title"),
      "list schedule-list",
      [
        t("sched.name"),
        t("jobs.c.job"),
        t("sched.next.run"),
        t("sched.last"),
        t("jobs.c.state"),
        h("span", { class: "unseen" }, t("act.more")),
      ],
      members.map((one) => row(app, one, list)),
    ),
  );
}

function row(app, one, list) {
  const { t, times } = app;
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row" },
      h("a", { href: to(`schedules/${one.schedule_id}`) }, named(one.name)),
      " ",
      h("span", { class: "meta" }, ruleOf(app, one)),
    ),
    h("td", null, kindOf(app, one.kind)),
    h(
      "td",
      { class: "meta" },
      one.next_fire_at === null ? "–" : [times.moment(one.next_fire_at), " ", h("bdi", null, one.timezone)],
    ),
    h("td", null, recent(app, one.recent)),
    h("td", null, statusTag(app, one)),
    h(
      "td",
      { class: "end" },
      app.can("submit") &&
        menuButton({
          label: `${t("act.more")}: ${one.name}`,
          items: () => scheduleItems(app, one, list.refresh),
        }),
    ),
  );
}
