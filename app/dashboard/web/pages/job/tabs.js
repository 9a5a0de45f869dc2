// What the job has: results, curves, input, attempts, events, logs. A tab is loaded when it is opened.

import { h, put, set } from "../../core/h.js";

const ALL = {
  results: { key: "job.tab.results", load: () => import("./results.js") },
  shards: { key: "job.tab.shards", load: () => import("./shards.js") },
  curves: { key: "job.tab.curves", load: () => import("./curves.js") },
  metrics: { key: "job.tab.metrics", load: () => import("./metrics.js") },
  input: { key: "job.tab.input", load: () => import("./input.js") },
  attempts: { key: "job.tab.attempts", load: () => import("./attempts.js") },
  events: { key: "job.tab.events", load: () => import("./all-events.js") },
  logs: { key: "job.tab.logs", load: () => import("./logs.js") },
};

/** Create the panel: `{element, update()}`. */
export function tabs(app, state, events, { signal, query, isEmbedded }) {
  const { t } = app;
  const names = namesFor(state.job);
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": t("job.tab.results") });
  const panel = h("div", { class: "tab-panel", role: "tabpanel", tabindex: 0 });
  const element = h("section", { class: "panel tabbed" }, bar, panel);
  let open = null;
  let current = null;
  const buttons = new Map(
    names.map((name) => [
      name,
      h(
        "button",
        { type: "button", role: "tab", id: `tab-${name}`, class: "tab", onclick: () => select(name, true) },
        t(ALL[name].key),
      ),
    ]),
  );
  put(bar, ...buttons.values());
  bar.addEventListener("keydown", (event) => {
    const here = names.indexOf(current);
    const moves = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: names.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      const name = names.at(moves[event.key] % names.length);
      select(name, true);
      buttons.get(name).focus();
    }
  });
  element.ownerDocument.addEventListener("show-events", () => select("events", true), { signal });

  async function select(name, isChosen = false) {
    if (name === current) {
      return;
    }
    open?.abort.abort();
    current = name;
    for (const [one, button] of buttons) {
      set(button, { "aria-selected": String(one === name), tabindex: one === name ? 0 : -1 });
    }
    set(panel, { "aria-labelledby": `tab-${name}` });
    if (isChosen && !isEmbedded) {
      app.navigator.setQuery({ tab: name === names[0] ? null : name });
    }
    const abort = new AbortController();
    open = { abort, view: null };
    const mine = open;
    const { show } = await ALL[name].load();
    if (!abort.signal.aborted && !signal.aborted) {
      mine.view = show(panel, state, events, AbortSignal.any([signal, abort.signal]), app);
    }
  }

  select(names.includes(query.get("tab")) ? query.get("tab") : names[0]);
  return { element, update: () => open?.view?.update?.(), move: () => open?.view?.move?.() };
}

function namesFor(job) {
  if (job.shards !== null) {
    return ["results", "shards", "input", "attempts", "events", "logs"];
  }
  switch (job.kind) {
    case "batch_predict":
      return ["results", "input", "attempts", "events", "logs"];
    case "evaluate_model":
      return ["metrics", "results", "input", "attempts", "events", "logs"];
    case "train_model":
      return ["curves", "metrics", "input", "attempts", "events", "logs"];
    default:
      return ["metrics", "input", "attempts", "events", "logs"];
  }
}
