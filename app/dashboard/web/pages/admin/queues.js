// Queues: what waits and runs in each, and pausing and resuming them.

import { h, put } from "../../core/h.js";
import { to } from "../../core/places.js";
import { poll } from "../../parts/polling.js";
import { empty, resource } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { tableOf } from "../../parts/table.js";
import { EVERYONE } from "../jobs/filters.js";

const MAX_REASON = 200;

/** Show the tab. */
export async function show(root, { signal, app }) {
  const { session } = app;
  const list = resource(app, put(root, h("section", { class: "panel" })).firstChild, {
    signal,
    fetch: (until) => session.get("queues", {}, until),
    render: ({ items }) =>
      items.length === 0 ? empty(app.t("admin.queue.none")) : table(app, items, () => list.refresh(), signal),
  });
  poll(app, signal, () => list.refresh());
  await list.refresh();
}

function table(app, items, onChanged, signal) {
  const { t } = app;
  return tableOf(
    t("admin.queues"),
    "list wide",
    [
      t("jobs.f.queue"),
      t("state.pending"),
      t("admin.queue.oldest"),
      t("state.running"),
      t("over.workers"),
      t("over.slot"),
      t("jobs.c.state"),
      h("span", { class: "unseen" }, t("act.more")),
    ],
    items.map((queue) => row(app, queue, onChanged, signal)),
  );
}

function row(app, queue, onChanged, signal) {
  const { format } = app;
  const oldest = queue.oldest_seconds;
  return h(
    "tr",
    { "data-queue": queue.name },
    h("th", { scope: "row" }, named(queue.name)),
    h(
      "td",
      { class: "number" },
      h(
        "a",
        { href: to("jobs", { status: "pending", queue: queue.name, owner: EVERYONE }) },
        format.capped(queue.pending),
      ),
      shardsOf(app, queue.pending_shards),
    ),
    h("td", { class: "number" }, oldest === null ? "–" : format.whole(oldest)),
    h("td", { class: "number" }, format.number(queue.running), shardsOf(app, queue.running_shards)),
    h("td", { class: "number" }, format.number(queue.workers)),
    h("td", { class: "number" }, format.number(queue.slots)),
    h("td", null, queue.paused_at === null ? workersOf(app, queue) : pauseOf(app, queue)),
    h("td", { class: "end" }, queue.is_pausable && button(app, queue, onChanged, signal)),
  );
}

/** The shards of jobs, which are no jobs of their own. */
function shardsOf({ words, format }, count) {
  return count > 0 && h("span", { class: "meta" }, ` + ${words.count("unit.shards", count, format.capped(count))}`);
}

function workersOf({ t }, { workers }) {
  return workers === 0 ? h("span", { class: "tag warn" }, t("admin.queue.unserved")) : t("sched.active");
}

function pauseOf({ t, times }, queue) {
  return [
    h("span", { class: "tag warn" }, t("sched.paused")),
    " ",
    h("bdi", { class: "reason" }, queue.reason),
    " ",
    h(
      "span",
      { class: "meta" },
      queue.paused_by !== null && [h("bdi", null, queue.paused_by), ", "],
      times.moment(queue.paused_at),
    ),
  ];
}

function button(app, queue, onChanged, signal) {
  const { t } = app;
  const isPaused = queue.paused_at !== null;
  return h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-label": `${t(isPaused ? "act.resume" : "act.pause")}: ${queue.name}`,
      onclick: () => (isPaused ? resume(app, queue, onChanged) : pause(app, queue, onChanged, signal)),
    },
    t(isPaused ? "act.resume" : "act.pause"),
  );
}

async function pause(app, queue, onChanged, signal) {
  const { t, notices } = app;
  const label = h("label", { for: "pause-reason" }, t("admin.queue.reason"));
  const input = h("input", { id: "pause-reason", required: true, maxlength: MAX_REASON, pattern: ".*\\S.*" });
  const keep = h(
    "button",
    { type: "submit", value: "no", class: "plain-button", formnovalidate: true },
    t("act.keep"),
  );
  const agree = h("button", { type: "submit", value: "yes", class: "danger" }, t("act.pause"));
  // Enter in the field presses the first button that sends the form, which must not be the other one.
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      agree.click();
    }
  });
  const answer = await notices.dialog(
    t("admin.queue.pause", { queue: queue.name }),
    [h("div", { class: "field" }, label, input), h("div", { class: "actions" }, keep, agree)],
    { signal, onOpen: () => input.focus() },
  );
  if (answer === "yes") {
    const body = { reason: input.value.trim() };
    await change(
      app,
      `queues/${encodeURIComponent(queue.name)}/pause`,
      body,
      "done.paused",
      queue,
      onChanged,
    );
  }
}

function resume(app, queue, onChanged) {
  const path = `queues/${encodeURIComponent(queue.name)}/resume`;
  return change(app, path, undefined, "done.resumed", queue, onChanged);
}

async function change(app, path, body, done, queue, onChanged) {
  try {
    await app.session.post(path, body);
    app.notices.toast(app.t(done, { name: queue.name }));
  } catch (problem) {
    app.fail(problem);
  }
  onChanged();
}
