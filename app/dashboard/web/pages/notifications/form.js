// The form of a subscription: where it delivers, which events, and of which jobs.

import { h } from "../../core/h.js";
import { field, form } from "../../parts/forms.js";
import { kindOf } from "../../parts/states.js";
import { typeText } from "./types.js";

const CHANNELS = ["webhook", "chat", "email"];
const SUGGESTED = ["job.completed", "job.failed"];
const NOT_OFFERED = ["ping", "subscription.confirm"];
const KINDS = [
  "batch_predict",
  "train_model",
  "evaluate_model",
  "preprocess_dataset",
  "convert_model",
  "inspect_model",
  "send_email",
];
const PAIR = /^([^=\s]+)=(.*)$/;

/**
 * Create the form. `given` is the subscription that it changes, or null for a new one; `send(body)` gets what the API
 * takes: of a change, only the members that differ.
 */
export function subscriptionForm(app, signal, { types, given = null, action, send }) {
  const { t } = app;
  const name = field(app, {
    name: "name",
    label: t("sched.name"),
    required: true,
    maxlength: 100,
    value: given?.name ?? "",
  });
  const channel = field(app, {
    name: "channel",
    label: t("note.channel"),
    options: (given === null ? CHANNELS : [given.channel]).map((one) => [one, channelOf(app, one)]),
    value: given?.channel ?? "webhook",
  });
  const target = targetFields(app, given);
  const secret = field(app, {
    name: "secret",
    label: t("note.secret.own"),
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 128,
    note: t("note.secret.note"),
  });
  const events = eventBox(app, types, given?.events ?? SUGGESTED);
  const filter = filterFields(app, given?.filter ?? {});
  const show = () => {
    target.show(channel.value);
    secret.element.hidden = given !== null || channel.value !== "webhook";
  };
  channel.input.addEventListener("change", show);
  show();
  const body = () => ({
    name: name.value.trim(),
    channel: channel.value,
    target: target.body(channel.value),
    events: events.chosen(),
    filter: filter.body(),
    ...(given === null && channel.value === "webhook" && secret.value && { secret: secret.value.trim() }),
  });
  const first = given === null ? null : JSON.stringify(body());
  return form(app, signal, {
    fields: () => [name, ...target.fields(channel.value), secret, ...filter.fields],
    layout: [
      h(
        "div",
        { class: "fields" },
        name.element,
        given === null && channel.element,
        ...target.elements,
        secret.element,
      ),
      events.element,
      h("details", null, h("summary", null, t("note.filter")), filter.element),
    ],
    action,
    send: async () => {
      const now = body();
      await send(first === null ? now : differing(now, JSON.parse(first)));
      name.input.value = given === null ? "" : name.value;
      secret.input.value = "";
    },
    sentence: (problem) => (problem.code === "url_not_allowed" ? t("note.private") : null),
  });
}

/** The name of a channel. */
export function channelOf({ t, words }, name) {
  return words.has(`note.channel.${name}`) ? t(`note.channel.${name}`) : name;
}

function targetFields(app, given) {
  const { t } = app;
  const before = given?.target ?? {};
  const url = field(app, {
    name: "target",
    label: t("note.url"),
    type: "url",
    required: true,
    placeholder: "https://",
    value: before.url ?? "",
  });
  const format = field(app, {
    name: "target.format",
    label: t("note.format"),
    options: ["slack", "teams"].map((one) => [one, t(`note.format.${one}`)]),
    value: before.format ?? "slack",
  });
  const address = field(app, {
    name: "target",
    label: t("note.email"),
    type: "email",
    required: true,
    value: before.address ?? "",
    note: t("note.email.note"),
  });
  const language = field(app, {
    name: "target.language",
    label: t("lang.label"),
    options: [
      ["en", t("lang.en")],
      ["zh-CN", t("lang.zh")],
    ],
    value: before.language ?? app.words.language,
  });
  const ofChannel = { webhook: [url], chat: [url, format], email: [address, language] };
  const all = [url, format, address, language];
  return {
    elements: all.map((one) => one.element),
    fields: (channel) => ofChannel[channel] ?? [],
    show: (channel) => {
      for (const one of all) {
        one.element.hidden = !(ofChannel[channel] ?? []).includes(one);
      }
    },
    body: (channel) => {
      switch (channel) {
        case "webhook":
          return { url: url.value.trim() };
        case "chat":
          return { url: url.value.trim(), format: format.value };
        case "email":
          return { address: address.value.trim(), language: language.value };
        default:
          return before; // of a plugin's channel, it stays
      }
    },
  };
}

function eventBox(app, types, chosen) {
  const { t } = app;
  const inputs = types
    .map((one) => one.type)
    .filter((type) => !NOT_OFFERED.includes(type))
    .map((type) => h("input", { type: "checkbox", value: type, checked: chosen.includes(type) }));
  return {
    element: h(
      "fieldset",
      { class: "fields" },
      h("legend", null, t("note.events")),
      ...inputs.map((input) =>
        h("label", { class: "check", title: input.value }, input, typeText(app, input.value)),
      ),
    ),
    chosen: () => inputs.filter((input) => input.checked).map((input) => input.value),
  };
}

function filterFields(app, before) {
  const { t } = app;
  const kind = field(app, {
    name: "filter.kind",
    label: t("jobs.f.kind"),
    options: [
      ["", t("jobs.f.any")],
      ...[...new Set([...KINDS, ...(before.kind ? [before.kind] : [])])].map((one) => [
        one,
        kindOf(app, one),
      ]),
    ],
    value: before.kind ?? "",
  });
  const text = (name, key) =>
    field(app, { name: `filter.${name}`, label: t(key), value: before[name] ?? "", spellcheck: "false" });
  const texts = [
    text("queue", "jobs.f.queue"),
    text("model", "jobs.f.model"),
    text("job_id", "note.job"),
    text("group_id", "note.group"),
    text("schedule_id", "note.schedule"),
  ];
  const metadata = field(app, {
    name: "filter.metadata",
    label: t("note.metadata"),
    rows: 2,
    spellcheck: "false",
    note: t("note.metadata.note"),
    value: Object.entries(before.metadata ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join("\n"),
  });
  metadata.element.classList.add("wide");
  return {
    fields: [kind, ...texts, metadata],
    element: h(
      "div",
      { class: "fields" },
      kind.element,
      ...texts.map((one) => one.element),
      metadata.element,
    ),
    /** The members that are filled in; null without any. */
    body: () => {
      const members = [kind, ...texts]
        .map((one) => [one.name.slice("filter.".length), one.value.trim()])
        .filter(([, value]) => value !== "");
      const pairs = metadata.value
        .split("\n")
        .map((line) => PAIR.exec(line.trim()))
        .filter((match) => match !== null)
        .map(([, key, value]) => [key, value]);
      if (pairs.length > 0) {
        members.push(["metadata", Object.fromEntries(pairs)]);
      }
      return members.length === 0 ? null : Object.fromEntries(members);
    },
  };
}

function differing(now, before) {
  return Object.fromEntries(
    Object.entries(now).filter(
      ([name, value]) => name !== "channel" && JSON.stringify(value) !== JSON.stringify(before[name]),
    ),
  );
}
