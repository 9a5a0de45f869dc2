// Forms: fields with their labels and messages, and what happens when they are sent.

import { h, put, set } from "../core/h.js";
import { faultsOf, sentenceOf } from "./problems.js";

const OF_FIELD = { model_not_found: "model", dataset_not_found: "dataset_id" };

let lastId = 0; // ids of elements need only be unique

/**
 * Create a field: `{element, input, name, value, setFault}`.
 *
 * `options` are `[value, text]` for a choice; `rows` make it a text area. Other members are attributes.
 */
export function field(
  app,
  { name, label, note = null, options = null, rows = null, type = "text", value = "", ...attributes },
) {
  lastId += 1;
  const id = `field-${lastId}`;
  const members = { id, name, "aria-describedby": `${id}-note`, ...attributes };
  let input;
  if (options !== null) {
    input = h(
      "select",
      members,
      ...options.map(([one, text]) =>
        h("option", { value: one, selected: String(one) === String(value) }, text),
      ),
    );
  } else if (rows !== null) {
    input = h("textarea", { ...members, rows, value });
  } else if (type === "checkbox") {
    input = h("input", { ...members, type, checked: Boolean(value) });
  } else {
    input = h("input", { ...members, type, value });
  }
  const fault = h("span", { class: "field-fault", hidden: true });
  const about = h("span", { id: `${id}-note`, class: "field-note" }, note, fault);
  const text = h("label", { for: id }, label);
  const setFault = (message) => {
    fault.textContent = message ?? "";
    fault.hidden = !message;
    set(input, { "aria-invalid": message ? "true" : null });
  };
  input.addEventListener("input", () => setFault(null)); // what was wrong is about the value before
  const element = h(
    "div",
    { class: `field ${type === "checkbox" ? "checkbox" : ""}` },
    type === "checkbox" ? [input, text] : [text, input],
    about,
  );
  return {
    element,
    input,
    name,
    get value() {
      return type === "checkbox" ? input.checked : input.value;
    },
    setFault,
  };
}

/** What is wrong with the fields that are shown, before anything is sent: `[field, message]`. */
export function faultsIn(app, fields) {
  return fields
    .filter((one) => one.input !== undefined && (one.input.closest?.("[hidden]") ?? null) === null)
    .map((one) => {
      const isMissing = one.input.required && one.input.value.trim() === "";
      return [
        one,
        isMissing ? app.t("form.required") : (outOfRange(app, one.input) ?? one.check?.() ?? null),
      ];
    })
    .filter(([, message]) => message !== null);
}

function outOfRange({ t, format }, { type, min, max, validity }) {
  const isOut = type === "number" && (validity.rangeUnderflow || validity.rangeOverflow);
  return isOut && min !== "" && max !== ""
    ? t("form.range", { a: format.number(Number(min)), b: format.number(Number(max)) })
    : null; // with one bound, the API says more
}

/**
 * Create a form. `send(values)` is awaited once at a time; a Problem is shown at its fields, or above the action.
 *
 * The content stays after any error. `sentence(problem)` may give another text for it. `layout` holds the fields, if not
 * one below the other. `fields` may be a function, if they change.
 */
export function form(
  app,
  signal,
  {
    fields,
    layout = null,
    action,
    send,
    sentence = () => null,
    onFailed = () => {},
    className = "",
    isPrimary = true,
  },
) {
  const current = () => (typeof fields === "function" ? fields() : fields);
  const message = h("p", { class: "form-fault", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: isPrimary ? "primary" : "plain-button" }, action);
  const element = h(
    "form",
    { class: `form ${className}`, method: "post", novalidate: true },
    ...(layout ?? current().map((one) => one.element)),
    message,
    h("div", { class: "actions" }, button),
  );
  let isSending = false;

  function say(text) {
    message.textContent = text ?? "";
    message.hidden = !text;
  }

  async function submit() {
    say(null);
    const all = current();
    for (const one of all) {
      one.setFault?.(null);
    }
    const wrong = faultsIn(app, all);
    if (wrong.length > 0) {
      wrong.forEach(([one, text]) => one.setFault(text));
      say(app.words.count("form.first", wrong.length, app.format.number(wrong.length)));
      focus(wrong[0][0]);
      return;
    }
    const values = Object.fromEntries(all.filter((one) => one.name).map((one) => [one.name, one.value]));
    try {
      await send(values);
    } catch (problem) {
      if (problem?.status === undefined) {
        throw problem;
      }
      show(problem);
      onFailed(problem);
    }
  }

  function show(problem) {
    const own = sentence(problem);
    const rest = [];
    let first = null;
    for (const { path, message: text, isWhole = false } of own === null ? placesOf(app, problem) : []) {
      const at = current().find(
        (one) => one.name !== undefined && (path === one.name || path.startsWith(`${one.name}.`)),
      );
      if (at === undefined) {
        isWhole || rest.push(path === "" ? text : `${path}: ${text}`);
      } else {
        at.setFault(text, path);
        first ??= at;
      }
    }
    if (first !== null) {
      focus(first);
    }
    say(first === null || rest.length > 0 ? [own ?? sentenceOf(app, problem), ...rest].join("\n") : null);
  }

  // It stays until the form is gone: without it, the browser would send the form of a page that is being left.
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSending || signal.aborted) {
      return;
    }
    isSending = true;
    set(button, { "aria-busy": "true" });
    try {
      await submit();
    } finally {
      isSending = false;
      set(button, { "aria-busy": null });
    }
  });
  return element;
}

/** Focus a field, also one that is folded away. */
function focus({ input }) {
  input.closest?.("details")?.setAttribute("open", "");
  input.focus();
}

/** The messages of a problem with the places that they are about. An error of the whole request may name one, too. */
function placesOf(app, problem) {
  const { errors, code, facts } = problem;
  const named = OF_FIELD[code] ?? facts.field ?? facts.option;
  if (errors.length > 0 || typeof named !== "string") {
    return faultsOf(problem);
  }
  return [{ path: named, message: sentenceOf(app, problem), isWhole: true }];
}

/** Replace what a select offers, and keep its value if it is still there. */
export function setOptions(select, options) {
  const { value } = select;
  put(select, ...options.map(([one, text]) => h("option", { value: one }, text)));
  if (options.some(([one]) => one === value)) {
    select.value = value;
  }
}
