// A list that is searched by the beginning of a name, and read page by page.

import { h, put } from "../core/h.js";
import { icon } from "./icons.js";
import { empty, resource } from "./resource.js";

const PAGE = 100;
const TYPING_MILLISECONDS = 300;

/**
 * Create `{search, element, refresh}`: the field of the search, and the list.
 *
 * `fetch(query, signal)` returns a page, `render(items)` a list or a table of all items so far, `none()` what is shown without any.
 */
export function namedList(app, signal, { query, fetch, render, none }) {
  const { t } = app;
  let text = query.get("q") ?? "";
  let items = [];
  let typing = null;
  const element = h("div");
  const search = h("input", {
    type: "search",
    value: text,
    maxlength: 200,
    placeholder: t("list.find"),
    "aria-label": t("list.find"),
  });
  const list = resource(app, element, {
    signal,
    fetch: (until) => fetch({ q: text, limit: PAGE }, until),
    render: (page) => {
      items = page.items;
      return shown(page.next_cursor);
    },
  });

  function shown(cursor) {
    if (items.length === 0) {
      return text === "" ? none() : empty(t("empty.filter"));
    }
    return [render(items), cursor !== null && more(cursor)];
  }

  function more(cursor) {
    const button = h("button", { type: "button", class: "plain-button" }, t("table.more"));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const page = await fetch({ q: text, limit: PAGE, cursor }, signal);
        items = [...items, ...page.items];
        put(list.body, ...[shown(page.next_cursor)].flat());
      } catch (problem) {
        button.disabled = false;
        app.fail(problem);
      }
    });
    return h("footer", { class: "list-foot row" }, button);
  }

  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      text = search.value.trim();
      app.navigator.setQuery({ q: text === "" ? null : text });
      list.refresh();
    }, TYPING_MILLISECONDS);
  });
  signal.addEventListener("abort", () => clearTimeout(typing), { once: true });
  return {
    search: h("div", { class: "search-field" }, icon("search"), search),
    element,
    refresh: list.refresh,
  };
}
