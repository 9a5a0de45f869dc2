// What needs attention: each line is a link that says what to do, the most severe first.

import { h } from "../core/h.js";
import { to } from "../core/places.js";
import { icon } from "./icons.js";
import { resource } from "./resource.js";
import { named } from "./states.js";

const MAX_SHOWN = 5;

/** Show the list in an element. */
export function attentionList(app, element, { signal, scope = () => "own" }) {
  const { t, session, format } = app;
  return resource(app, element, {
    signal,
    skeleton: 1,
    fetch: (until) => session.get("attention", { scope: scope() }, until),
    render: ({ items }) => {
      if (items.length === 0) {
        return h("p", { class: "quiet-line" }, icon("check"), t("over.person.none"));
      }
      const shown = items.slice(0, MAX_SHOWN);
      return [
        h(
          "header",
          null,
          h("h2", null, t("over.person")),
          h("span", { class: "meta" }, `${format.number(shown.length)} / ${format.number(items.length)}`),
        ),
        h(
          "ul",
          { class: "attention-list" },
          ...shown.map((item) => h("li", { class: item.severity }, line(app, item))),
        ),
      ];
    },
  });
}

function line(app, item) {
  const { href, title, more } = described(app, item);
  const body = [
    icon("alert"),
    h("span", { class: "said" }, h("strong", null, title), more && h("span", { class: "meta" }, more)),
    h("span", { class: "meta since" }, app.times.moment(item.since)),
  ];
  return href === null ? h("div", { class: "line" }, ...body) : h("a", { href, class: "line" }, ...body);
}

function described({ t, words, format, live }, { code, count, since, facts }) {
  const n = format.capped(count);
  switch (code) {
    case "dead_letters":
      return {
        href: to("dead-letters", { code: facts.error, model: facts.model ?? "" }),
        title: words.count("over.person.dead", count, n),
        more: [
          words.has(`fail.${facts.error}`) ? t(`fail.${facts.error}`) : facts.error,
          facts.model && " · ",
          facts.model && named(facts.model),
        ],
      };
    case "queue_without_worker":
      return {
        href: to("jobs", { status: "pending", queue: facts.queue }),
        title: t("over.person.queue", { queue: facts.queue, n }),
      };
    case "queue_paused":
      return {
        href: to("jobs", { status: "pending", queue: facts.queue }),
        title: t("over.person.paused", { queue: facts.queue, n }),
        more: facts.reason,
      };
    case "loop_late":
      return {
        href: to("admin/system"),
        title: t("over.person.keeper", {
          loop: facts.loop,
          t: format.whole((live.now() - Date.parse(since)) / 1000),
        }),
      };
    case "storage_full":
      return {
        href: to("admin/system"),
        title: t("over.person.storage", { p: format.percent(facts.used_percent / 100) }),
        more: t("admin.storage.left", { free: format.bytes(facts.free_bytes) }),
      };
    case "worker_lost":
      return { href: null, title: t("over.person.lost", { name: facts.worker }) };
    case "worker_draining":
      return { href: null, title: t("over.person.drain", { name: facts.worker }) };
    case "schedule_failing":
      return {
        href: to(`schedules/${facts.schedule_id}`),
        title: t("over.person.failing", { name: facts.name, n }),
      };
    case "schedule_skipped":
      return {
        href: to(`schedules/${facts.schedule_id}`),
        title: t("over.person.skip", { name: facts.name, n }),
      };
    case "delivery_failing":
      return {
        href: to(`notifications/${facts.subscription_id}`),
        title: t("over.person.hook", { name: facts.name, t: format.exact(new Date(since)) }),
      };
    default:
      return { href: null, title: code };
  }
}
