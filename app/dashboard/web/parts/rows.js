// A table of thousands of rows, of which the page holds those in sight.

import { h, set } from "../core/h.js";

const BEYOND = 8; // rows above and below those in sight

/**
 * Show items in the body of a table: `{show(items), patch(key), rowOf(element), focus(index)}`.
 *
 * `create(item)` returns `{element, update(item)}`; all rows have the same height. `onEnd` is called when the end of
 * the list comes near. The row that has the focus stays on the page when it is scrolled away.
 */
export function windowed(table, body, { keyOf, create, onEnd, signal }) {
  const views = new Map(); // key → {element, update}
  const spacers = [];
  let items = [];
  let places = new Map(); // key → index
  let height = 36;
  let isDue = false;

  function schedule() {
    if (!isDue && !signal.aborted) {
      isDue = true;
      requestAnimationFrame(render);
    }
  }

  function render() {
    isDue = false;
    if (signal.aborted) {
      return;
    }
    const some = views.values().next().value;
    height = some?.element.isConnected ? some.element.getBoundingClientRect().height || height : height;
    const top = -body.getBoundingClientRect().top;
    const first = Math.max(Math.floor(top / height) - BEYOND, 0);
    const last = Math.min(Math.ceil((top + innerHeight) / height) + BEYOND, items.length);
    const wanted = [];
    const focused = focusedIndex();
    if (focused !== null && focused < first) {
      wanted.push(focused);
    }
    for (let index = first; index < last; index += 1) {
      wanted.push(index);
    }
    if (focused !== null && focused >= last) {
      wanted.push(focused);
    }
    place(wanted);
    if (last >= items.length - BEYOND) {
      onEnd();
    }
  }

  function place(wanted) {
    const nodes = [];
    const kept = new Set();
    let next = 0;
    for (const index of wanted) {
      nodes.push(...spacer(nodes, index - next));
      const item = items[index];
      const key = keyOf(item);
      kept.add(key);
      let view = views.get(key);
      if (view === undefined) {
        view = create(item);
        views.set(key, view);
      }
      set(view.element, { "aria-rowindex": index + 2 });
      nodes.push(view.element);
      next = index + 1;
    }
    nodes.push(...spacer(nodes, items.length - next));
    for (const key of views.keys()) {
      if (!kept.has(key)) {
        views.get(key).element.remove();
        views.delete(key);
      }
    }
    arrange(body, nodes);
  }

  /** A row as high as so many rows that are not on the page. */
  function spacer(nodes, count) {
    if (count <= 0) {
      return [];
    }
    const used = nodes.filter((node) => node.className === "spacer").length;
    // One cell: a wider one would add columns where some are hidden.
    spacers[used] ??= h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
    set(spacers[used], { vars: { height: `${count * height}px` } });
    return [spacers[used]];
  }

  function focusedIndex() {
    const row = document.activeElement?.closest("tr[data-key]");
    return row !== null && row !== undefined && body.contains(row)
      ? (places.get(row.dataset.key) ?? null)
      : null;
  }

  addEventListener("scroll", schedule, { signal, passive: true });
  addEventListener("resize", schedule, { signal });

  return {
    schedule,
    show(next) {
      items = next;
      places = new Map(items.map((item, index) => [keyOf(item), index]));
      for (const [key, view] of views) {
        const index = places.get(key);
        if (index !== undefined) {
          view.update(items[index]);
        }
      }
      schedule();
    },
    /** Show what has changed of an item, if it is in sight. */
    patch(key) {
      const view = views.get(key);
      if (view !== undefined) {
        view.update(items[places.get(key)]);
      }
    },
    indexOf: (key) => places.get(key) ?? null,
    focused: focusedIndex,
    /** Bring a row into sight, and give its link the focus. */
    focus(index) {
      const y = body.getBoundingClientRect().top + index * height;
      if (y < 140 || y > innerHeight - 120) {
        scrollBy({ top: y - innerHeight / 2, behavior: "instant" });
      }
      render();
      views.get(keyOf(items[index]))?.element.querySelector("a")?.focus({ preventScroll: true });
    },
  };
}

/** Make these nodes the children of an element. Those that are in order already are not moved. */
function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) {
      child.remove();
    }
  }
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) {
      at = at.nextSibling;
    } else {
      parent.insertBefore(node, at);
    }
  }
}
