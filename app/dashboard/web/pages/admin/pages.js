// A list that comes in pages: the first, and more of them on demand.

import { h, replace } from "../../core/h.js";
import { resource } from "../../parts/resource.js";

const LIMIT = 100;

/** Load a list into an element: `{refresh()}`. `query()` gives the filters, `render(items)` the children. */
export function pagedList(app, element, { signal, path, query = () => ({}), render }) {
  const { t, session } = app;
  let items = [];
  let cursor = null;
  const list = resource(app, element, {
    signal,
    fetch: (until) => session.get(path, { limit: LIMIT, ...query() }, until),
    render: (page) => {
      ({ items, next_cursor: cursor } = page);
      return drawn();
    },
  });

  function drawn() {
    const more = h("button", { type: "button", class: "plain-button", onclick: load }, t("table.more"));
    return [render(items), cursor !== null && h("p", { class: "list-foot" }, more)];
  }

  async function load() {
    try {
      const page = await session.get(path, { limit: LIMIT, ...query(), cursor }, signal);
      items = [...items, ...page.items];
      cursor = page.next_cursor;
      replace(list.body, drawn());
    } catch (problem) {
      app.fail(problem);
    }
  }

  return list;
}

/** A select or an input for a filter, with its label; `onChange` is called when it has another value. */
export function filterField(label, input, onChange, signal) {
  input.addEventListener("change", onChange, { signal });
  return h("label", { class: "filter" }, h("span", { class: "meta" }, label), input);
}

/** A select of names; the first entry is any. */
export function nameSelect(app, names, chosen, said = (name) => name) {
  return h(
    "select",
    null,
    h("option", { value: "" }, app.t("jobs.f.any")),
    ...names.map((name) => h("option", { value: name, selected: name === chosen }, said(name))),
  );
}
