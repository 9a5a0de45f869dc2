// A new job: the task, the data, the model and options, and beside them what the request is and would wait for.

import { h, put } from "../../core/h.js";
import { choice } from "../../parts/choice.js";
import { newKey } from "../../parts/first-job.js";
import { faultsIn, form } from "../../parts/forms.js";
import { fault, resource } from "../../parts/resource.js";
import { jobLink, kindOf, shortId } from "../../parts/states.js";
import { changes } from "./changes.js";
import { others } from "./common.js";
import { dropDraft, readDraft, writeDraft } from "./draft.js";
import { earlier } from "./earlier.js";
import { estimate } from "./estimate.js";
import { kindFields } from "./kind.js";
import { evaluateFields, predictFields } from "./predict.js";
import { asCurl, asPython } from "./preview.js";
import { trainFields } from "./train.js";

const FORMS = { batch_predict: predictFields, train_model: trainFields, evaluate_model: evaluateFields };
const NAMED = { predict: "batch_predict", train: "train_model", evaluate: "evaluate_model" };

/** Open the page. */
export async function open(root, { query }, signal, app) {
  const { t, session } = app;
  app.title(t("new.title"));
  const from = query.get("from");
  const body = h("div");
  put(root, h("header", { class: "page-head" }, h("h1", null, t("new.title"))), body);
  const loaded = resource(app, body, {
    signal,
    skeleton: 8,
    fetch: (until) =>
      Promise.all([
        session.get("kinds", {}, until),
        from === null ? null : earlier(session, from, until).catch((problem) => refused(problem)),
      ]),
    render: ([{ items }, before]) => newJob(app, signal, { kinds: items, query, from, before }),
  });
  await loaded.refresh();
}

/** That there is no request of the earlier job is said above an empty form; other problems are those of the page. */
function refused(problem) {
  if (![403, 404, 409, 410].includes(problem.status)) {
    throw problem;
  }
  return { problem };
}

function newJob(app, signal, { kinds, query, from, before }) {
  const { t, session } = app;
  const known = new Map(kinds.map((kind) => [kind.name, kind]));
  const old = before?.body ?? null;
  const draft = begin(session, { query, from, before, known });
  const holder = h("div");
  const quote = estimate(app, signal);
  const differences = h("div");
  const preview = h("div", { class: "step" });
  let key = newKey();
  let isDirty = false;
  let parts = null;

  function request() {
    const body = { ...parts.body(), ...(old !== null && { resubmitted_from: from }) };
    return { path: `jobs/${known.get(draft.task).path.split("/").at(-1)}`, body };
  }

  function show() {
    const now = request();
    put(
      preview,
      h("h2", null, t("new.preview")),
      code(app, "curl", asCurl(now)),
      code(app, "Python", asPython(now)),
    );
    if (old !== null && draft.task === before.kind) {
      const body = others(now.body, ["resubmitted_from"]);
      put(differences, ...changes(app, old, body));
    } else {
      differences.replaceChildren();
    }
    quote.show(faultsIn(app, parts.fields).length === 0 ? now : null);
    draft.bodies[draft.task] = parts.body();
    writeDraft(session, from, draft);
  }

  function draw() {
    const kind = known.get(draft.task);
    parts = (FORMS[draft.task] ?? kindFields)(app, signal, draft.bodies[draft.task] ?? {}, kind);
    const drawn = parts;
    const tasks = choice(
      t("new.what"),
      kinds.toSorted(byTask).map(({ name }) => [name, taskOf(app, name)]),
      draft.task,
      (name) => {
        draft.bodies[draft.task] = parts.body();
        draft.bodies[name] ??= shared(draft.bodies[draft.task]);
        draft.task = name;
        draw();
      },
    );
    const element = form(app, signal, {
      fields: () => parts.fields,
      layout: [[t("new.what"), [tasks]], ...parts.steps].map(([title, content]) =>
        h("div", { class: "step numbered" }, h("h2", null, title), ...content),
      ),
      action: t("new.go"),
      className: "panel",
      send: () => send(),
    });
    const changed = () => {
      isDirty = true;
      show();
    };
    element.addEventListener("input", changed, { signal });
    element.addEventListener("change", changed, { signal });
    put(holder, element);
    show();
    parts.ready
      .then(() => signal.aborted || parts !== drawn || show())
      .catch((problem) => {
        if (!signal.aborted) {
          app.fail(problem);
        }
      });
  }

  async function send() {
    const { path, body } = request();
    const created = await session.send("POST", path, { body, headers: { "Idempotency-Key": key } });
    const isReplay = created.headers.get("idempotent-replayed") === "true";
    const answer = await created.json();
    key = newKey();
    isDirty = false;
    dropDraft();
    app.notices.toast(t(isReplay ? "new.replayed" : "new.done"));
    app.go(answer.group_id ? `groups/${answer.group_id}` : `jobs/${answer.job_id}`);
  }

  // Leaving asks once. The draft is kept unless the reader throws it away, so nothing waits for the answer.
  async function leave() {
    if (!isDirty || draft.isAsked || session.user.peek() === null) {
      return;
    }
    writeDraft(session, from, { ...draft, isAsked: true });
    if (await app.notices.ask({ title: t("new.draft"), action: t("new.draft.drop"), isDangerous: true })) {
      dropDraft();
    }
  }

  signal.addEventListener("abort", leave, { once: true });
  draw();
  const note =
    old !== null &&
    h(
      "div",
      { class: "step" },
      h("h2", null, t("dead.diff")),
      h("p", { class: "meta" }, t("dead.edit.note")),
      h(
        "p",
        null,
        jobLink(app, { job_id: from, kind: before.kind }),
        " ",
        h("span", { class: "mono meta" }, shortId(from)),
      ),
      differences,
    );
  return [
    before?.problem && fault(app, before.problem, { signal }),
    h(
      "div",
      { class: "columns" },
      holder,
      h("section", { class: "panel step" }, quote.element, note, preview),
    ),
  ];
}

/** What the form begins with: the draft, what the address asks for, or the request of the earlier job. */
function begin(session, { query, from, before, known }) {
  const wanted = query.get("task") ?? query.get("kind");
  const asked = NAMED[wanted] ?? wanted;
  const given = {
    ...(query.has("dataset") && { dataset_id: query.get("dataset") }),
    ...(query.has("model") && { model: query.get("model") }),
  };
  const draft = readDraft(session, from);
  if (asked !== null || Object.keys(given).length > 0) {
    return { task: known.has(asked) ? asked : NAMED.predict, bodies: { [asked ?? NAMED.predict]: given } };
  }
  if (known.has(draft.task)) {
    return draft;
  }
  return known.has(before?.kind)
    ? { task: before.kind, bodies: { [before.kind]: before.body } }
    : { task: NAMED.predict, bodies: {} };
}

/** What one form takes over from another. */
function shared({ dataset_id: dataset }) {
  return dataset === undefined ? {} : { dataset_id: dataset };
}

function taskOf(app, name) {
  const [short] = Object.entries(NAMED).find(([, kind]) => kind === name) ?? [];
  return short === undefined ? kindOf(app, name) : app.t(`new.what.${short}`);
}

function byTask({ name: one }, { name: other }) {
  const place = (name) => Object.values(NAMED).indexOf(name) + 1 || Infinity;
  return place(one) - place(other) || one.localeCompare(other);
}

function code(app, name, text) {
  return h(
    "div",
    null,
    h("h3", null, name),
    h(
      "div",
      { class: "json" },
      h("pre", { tabindex: 0 }, text),
      app.copyButton(text, name === "curl" ? app.t("act.copy.curl") : app.t("act.copy")),
    ),
  );
}
