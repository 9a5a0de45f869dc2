// The frame of a chart: its title, its drawing at the width there is, a crosshair, a tooltip, and a table of its data.

import { h, put, s, set } from "../core/h.js";
import { watch } from "../core/signal.js";
import { dataTable } from "./table.js";

const NARROW = 400;

/**
 * Create a chart: `{element, update(data)}`.
 *
 * `draw(data, width)` returns `{nodes, places, top, bottom}`: what to draw, and the x of each point. `tip(data, index)`
 * is the text for a point, `say(data)` a sentence for the whole, `table(data)` its columns and rows. `cursor` is a
 * signal with the index of the point that is looked at; charts that share it show it together. `onSelect(data,
 * index)` makes points selectable. Data with a `title` replace the title.
 */
export function figure(
  app,
  signal,
  { title, note = null, height, draw, tip, say, table, cursor, onSelect = null, actions = null },
) {
  const { t } = app;
  const heading = h("h2", null, title);
  const svg = s("svg", { class: "chart", height, role: "img", tabindex: 0 });
  const layer = s("g");
  const cross = s("line", { class: "crosshair", visibility: "hidden" });
  svg.append(layer, cross);
  const tooltip = h("div", { class: "tooltip", hidden: true });
  const toggle = h("button", { type: "button", class: "quiet small" }, t("act.table"));
  const plot = h("div", { class: "plot" }, svg, tooltip);
  const rows = h("div", { class: "plot-table", hidden: true });
  const element = h(
    "section",
    { class: "panel chart-panel" },
    h(
      "header",
      null,
      heading,
      note && h("span", { class: "meta" }, note),
      h("span", { class: "spring" }),
      actions,
      toggle,
    ),
    plot,
    rows,
  );
  let data = null;
  let drawn = { places: [], top: 0, bottom: height };
  let isDue = false;
  let isVisible = true;
  let scale = 1;

  function paint() {
    isDue = false;
    // The drawing grows with the text of the page.
    scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    const width = plot.clientWidth / scale;
    if (data === null || width === 0 || !isVisible) {
      return;
    }
    set(svg, { height: height * scale, viewBox: `0 0 ${width} ${height}`, "aria-label": say(data) });
    drawn = draw(data, width, width < NARROW);
    layer.replaceChildren(...drawn.nodes);
    point(cursor.peek());
    if (!rows.hidden) {
      put(rows, dataTable(table(data), heading.textContent));
    }
  }

  function schedule() {
    if (!isDue && !signal.aborted) {
      isDue = true;
      requestAnimationFrame(paint);
    }
  }

  function point(index) {
    const x = index === null ? undefined : drawn.places[index];
    set(cross, {
      visibility: x === undefined ? "hidden" : "visible",
      x1: x ?? 0,
      x2: x ?? 0,
      y1: drawn.top,
      y2: drawn.bottom,
    });
    tooltip.hidden = x === undefined || data === null;
    if (!tooltip.hidden) {
      put(tooltip, tip(data, index));
      const half = tooltip.offsetWidth / 2;
      set(tooltip, { vars: { x: `${Math.min(Math.max(x * scale, half), plot.clientWidth - half)}px` } });
    }
  }

  function nearest(clientX) {
    const x = (clientX - svg.getBoundingClientRect().left) / scale;
    let best = null;
    drawn.places.forEach((place, index) => {
      if (best === null || Math.abs(place - x) < Math.abs(drawn.places[best] - x)) {
        best = index;
      }
    });
    return best;
  }

  function look(index) {
    cursor.value = index;
  }

  svg.addEventListener("pointermove", (event) => look(nearest(event.clientX)));
  svg.addEventListener("pointerleave", () => look(null));
  svg.addEventListener("blur", () => look(null));
  svg.addEventListener("click", (event) => data !== null && onSelect?.(data, nearest(event.clientX)));
  svg.addEventListener("keydown", (event) => {
    const last = drawn.places.length - 1;
    const here = cursor.peek();
    const moves = { ArrowLeft: (here ?? last + 1) - 1, ArrowRight: (here ?? -1) + 1, Home: 0, End: last };
    if (event.key in moves) {
      event.preventDefault();
      look(Math.min(Math.max(moves[event.key], 0), last));
    } else if (event.key === "Enter" && here !== null) {
      onSelect?.(data, here);
    } else if (event.key === "Escape") {
      look(null);
    }
  });
  toggle.addEventListener("click", () => {
    rows.hidden = !rows.hidden;
    plot.hidden = !rows.hidden;
    toggle.textContent = t(rows.hidden ? "act.table" : "act.chart");
    schedule();
    if (!rows.hidden && data !== null) {
      put(rows, dataTable(table(data), heading.textContent));
    }
  });
  svg.classList.toggle("selectable", onSelect !== null);

  const sized = new ResizeObserver(schedule);
  sized.observe(plot);
  const seen = new IntersectionObserver(([entry]) => {
    isVisible = entry.isIntersecting;
    schedule();
  });
  seen.observe(element);
  signal.addEventListener(
    "abort",
    () => {
      sized.disconnect();
      seen.disconnect();
    },
    { once: true },
  );

  watch(cursor, point, signal);

  return {
    element,
    update(next) {
      data = next;
      heading.textContent = next.title ?? title;
      schedule();
    },
  };
}

/** Horizontal lines with their labels, at the ticks of a scale. */
export function grid(values, y, { left, right, text }) {
  return values.flatMap((value) => [
    s("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    s("text", { class: "tick", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, text(value)),
  ]);
}

/** Labels below the axis: every point that `text` names, or every other one where it is narrow. */
export function below(labels, y) {
  return labels.map(([x, text, anchor = "middle"]) =>
    s("text", { class: "tick", x, y, "text-anchor": anchor }, text),
  );
}
