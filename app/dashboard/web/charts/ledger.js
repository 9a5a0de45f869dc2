// The batches of a job, one cell for each or for several, coloured by the attempt that stored them.

import { h, put, set } from "../core/h.js";

const MIN_CELL = 6;
const GAP = 1;
const MAX_CELLS = 200;

/**
 * Create the ledger: `{element, update(ledger, {attempt, isRunning})}`.
 *
 * It is drawn anew only when its shape changes; a batch that is stored colours its cell.
 */
export function ledgerBar(app, signal, { unit = "batch" } = {}) {
  const cells = h("div", { class: "ledger", role: "img" });
  const runs = h("div", { class: "ledger-runs", "aria-hidden": "true" });
  const note = h("p", { class: "meta ledger-note" });
  const element = h("div", { class: "ledger-box" }, cells, runs, note);
  let latest = null;
  let shape = "";

  function update(ledger, state) {
    latest = [ledger, state];
    paint();
  }

  function paint() {
    const width = cells.clientWidth;
    if (latest === null || width === 0) {
      return;
    }
    const [ledger, { isRunning }] = latest;
    const total = Math.max(ledger.batches ?? ledger.stored, ledger.stored);
    const count = Math.max(Math.min(total, MAX_CELLS, Math.floor(width / (MIN_CELL + GAP))), 0);
    const size = total / Math.max(count, 1);
    const styles = stylesOf(ledger.runs);
    const key = `${count} ${total}`;
    if (key !== shape) {
      shape = key;
      put(cells, ...Array.from({ length: count }, () => h("span")));
    }
    for (let index = 0; index < count; index += 1) {
      const last = Math.ceil((index + 1) * size) - 1;
      const run = ledger.runs.findLastIndex((one) => one.first <= last);
      const isStored = last < ledger.stored;
      const isNow = !isStored && Math.floor(index * size) <= ledger.stored && isRunning;
      const isStart =
        isStored &&
        run > 0 &&
        ledger.runs[run].first > Math.floor(index * size) - 1 &&
        ledger.runs[run].first <= last;
      const name = `${isStored ? styles[run] : isNow ? "now" : "todo"}${isStart ? " start" : ""}`;
      if (cells.children[index].className !== name) {
        cells.children[index].className = name;
      }
    }
    describe(app, { cells, runs, note }, ledger, { total, isRunning, unit, styles });
  }

  const sized = new ResizeObserver(paint);
  sized.observe(cells);
  signal.addEventListener("abort", () => sized.disconnect(), { once: true });
  return { element, update };
}

/** The last run flows; the earlier ones are of two greys in turn. */
function stylesOf(runs) {
  return runs.map((_, index) =>
    index === runs.length - 1 ? "flow" : (runs.length - index) % 2 === 0 ? "past" : "past-2",
  );
}

function describe(app, { cells, runs, note }, ledger, { total, isRunning, unit, styles }) {
  const { t, format } = app;
  const n = format.number;
  const said = ledger.runs.map((run) =>
    t("job.ledger", { a: n(run.first + 1), b: n(run.last + 1), n: n(run.attempt) }),
  );
  set(cells, {
    "aria-label": t("job.ledger.label", {
      done: n(ledger.stored),
      total: ledger.batches === null ? "?" : n(total),
      runs: n(ledger.runs.length),
    }),
  });
  put(
    runs,
    ...(ledger.runs.length > 1
      ? ledger.runs.map((run, index) =>
          h(
            "span",
            {
              class: `run ${styles[index]}`,
              vars: { share: (run.last - run.first + 1) / Math.max(total, 1) },
              title: said[index],
            },
            n(run.attempt),
          ),
        )
      : []),
  );
  const left = total - ledger.stored;
  note.textContent =
    unit !== "batch"
      ? ""
      : [
          ...said.slice(-3),
          isRunning && left > 0 && ledger.batches !== null
            ? t("job.ledger.left", { n: n(ledger.stored + 1), m: n(left) })
            : null,
        ]
          .filter(Boolean)
          .join(" · ");
}
