// Creates a schedule, or changes one: its rule, window and policies, and the job that it makes, with its next runs.

import { h, put } from "../../core/h.js";
import { newKey } from "../../parts/first-job.js";
import { faultsIn, field, form } from "../../parts/forms.js";
import { sentenceOf } from "../../parts/problems.js";
import { fault } from "../../parts/resource.js";
import { named } from "../../parts/states.js";
import { anchored, fireList, fireZones } from "./fires.js";
import { ownZone } from "./instants.js";
import { policyFields } from "./policies.js";
import { templateFields } from "./template.js";
import { triggerFields } from "./trigger.js";
import { ruleOf } from "./words.js";

const SHOWN_RUNS = 10;
const TYPING_MILLISECONDS = 300;
const DRAFT = "headrace.draft.schedule";
const SUGGESTED = { trigger: { daily: { at: "09:00" } }, job: { kind: "batch_predict" } };

/** Open the page: of a new schedule, or with `id` of one that is there. */
export async function open(root, { id = null, query }, signal, app) {
  const { t, session } = app;
  app.title(t(id === null ? "sched.new" : "act.edit"));
  const title = h("h1", null, t(id === null ? "sched.new" : "act.edit"));
  const holder = h("div");
  const preview = h("section", { class: "panel step" });
  put(root, h("header", { class: "page-head" }, title), h("div", { class: "columns" }, holder, preview));
  let before;
  let kinds;
  try {
    [before, kinds] = await Promise.all([
      id === null ? null : session.get(`schedules/${encodeURIComponent(id)}`, {}, signal),
      session.get("kinds", {}, signal),
    ]);
  } catch (problem) {
    if (!signal.aborted) {
      put(holder, fault(app, problem, { signal, onRetry: () => app.navigator.open() }));
    }
    return;
  }
  if (before !== null) {
    app.title(before.name);
    put(title, named(before.name));
  }
  const suggested = {
    ...SUGGESTED,
    timezone: ownZone(app),
    ...asked(query),
    ...(asked(query).job ? {} : read()),
  };
  draw(app, signal, { holder, preview, before, given: before ?? suggested, kinds: kinds.items });
}

function draw(app, signal, { holder, preview, before, given, kinds }) {
  const { t, session } = app;
  const name = field(app, {
    name: "name",
    label: t("sched.name"),
    required: true,
    maxlength: 100,
    value: given.name ?? "",
  });
  const group = field(app, {
    name: "group",
    label: t("sched.group"),
    maxlength: 64,
    note: t("form.optional"),
    value: given.group ?? "",
  });
  const zones = h("datalist", { id: "zones" }, ...zoneNames().map((one) => h("option", { value: one })));
  const zone = field(app, {
    name: "timezone",
    label: t("sched.zone"),
    required: true,
    list: "zones",
    spellcheck: "false",
    value: given.timezone ?? "UTC",
  });
  const isActive = field(app, {
    name: "enabled",
    label: t("sched.enabled"),
    type: "checkbox",
    value: given.enabled ?? true,
  });
  const trigger = triggerFields(app, given.trigger);
  const policies = policyFields(app, given);
  const template = templateFields(app, signal, given.job, kinds);
  const timing = () => ({ trigger: trigger.body(), timezone: zone.value.trim(), ...policies.span() });
  const asPreviewed = () => (before === null ? timing() : anchored(timing(), before.created_at));
  const body = () => ({
    name: name.value.trim(),
    group: group.value.trim() === "" ? null : group.value.trim(),
    ...policies.body(),
    ...timing(),
    job: template.body(),
    ...(before === null && { enabled: isActive.value }),
  });
  const first = before === null ? null : body();
  let key = newKey();

  async function send() {
    const now = body();
    if (now.job === null) {
      template.focus();
      return;
    }
    const saved =
      before === null
        ? await session.json("POST", "schedules", { body: present(now), headers: { "Idempotency-Key": key } })
        : await session.json("PATCH", `schedules/${before.schedule_id}`, {
            body: differing(now, first),
            headers: { "If-Match": `"${before.revision}"` },
          });
    key = newKey();
    if (before === null) {
      sessionStorage.removeItem(DRAFT);
    }
    app.notices.toast(t("done.saved"));
    app.go(`schedules/${saved.schedule_id}`);
  }

  const step = (key, ...children) => h("div", { class: "step" }, h("h2", null, t(key)), ...children);
  const element = form(app, signal, {
    fields: () => [name, group, zone, ...trigger.fields, ...policies.fields, ...template.fields],
    layout: [
      h("div", { class: "fields" }, name.element, group.element),
      step(
        "sched.rule",
        trigger.element,
        h("div", { class: "fields" }, zone.element, zones),
        policies.window,
      ),
      step("sched.template", template.element),
      h("details", null, h("summary", null, t("sched.policies")), policies.policies),
      before === null && isActive.element,
    ],
    action: t("act.save"),
    className: "panel",
    send,
    sentence: (problem) => (problem.code === "revision_mismatch" ? t("sched.changed") : null),
  });
  put(holder, element);
  const isMissing = () => faultsIn(app, [...trigger.fields, zone]).length > 0;
  const show = showRuns(app, signal, preview, () => (isMissing() ? null : asPreviewed()));
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(show, TYPING_MILLISECONDS);
    if (before === null) {
      write(body());
    }
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  element.addEventListener("input", later, { signal });
  element.addEventListener("change", later, { signal });
  show();
}

/**
 * A function that shows the next runs, as the API computes them, and none while `timing` returns null. Of several
 * requests, the newest counts.
 */
function showRuns(app, signal, element, timing) {
  const { t, session } = app;
  let current = null;
  let shown = null;
  return async () => {
    const rule = timing();
    const body = rule && { ...present(rule), count: SHOWN_RUNS };
    if (JSON.stringify(body) === shown) {
      return;
    }
    shown = JSON.stringify(body);
    current?.abort();
    current = new AbortController();
    const until = AbortSignal.any([signal, current.signal]);
    const heading = h("h2", null, t("sched.next"));
    if (body === null) {
      put(element, heading);
      return;
    }
    try {
      const { description, cron, fires } = await session.post("schedules/preview", body, { signal: until });
      put(
        element,
        heading,
        h("p", null, ruleOf(app, { ...body, description, cron })),
        cron !== null && h("p", { class: "mono meta" }, cron),
        fireZones(app, body.timezone),
        fireList(app, fires, body.timezone),
      );
    } catch (problem) {
      if (until.aborted) {
        return;
      }
      if (problem?.status === undefined) {
        throw problem;
      }
      const [first] = problem.errors;
      put(
        element,
        heading,
        h("p", { class: "form-fault" }, first === undefined ? sentenceOf(app, problem) : first.msg),
      );
    }
  };
}

function zoneNames() {
  return ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])];
}

/** What a link to this page asks for. */
function asked(query) {
  const job = {};
  for (const name of ["dataset", "model"]) {
    if (query?.has(name)) {
      job[name] = query.get(name);
    }
  }
  return Object.keys(job).length === 0 ? {} : { job: { kind: "batch_predict", ...job } };
}

function present(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

/** The members that are not what they were: what is left out stays, and so does the next run. */
function differing(now, before) {
  return Object.fromEntries(
    Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])),
  );
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

function write(draft) {
  try {
    sessionStorage.setItem(DRAFT, JSON.stringify(present(draft)));
  } catch {
    // Storage is blocked or full: the form itself keeps what was typed.
  }
}
