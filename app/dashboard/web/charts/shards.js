// The shards of a job, one cell for each or for several: which are done, which run and how far they are.

import { h, put, set } from "../core/h.js";

const MIN_CELL = 6;
const GAP = 1;
const MAX_CELLS = 200;
// What a cell for several shards shows: the first of these that one of them is.
const ORDER = ["failed", "running", "pending", "cancelled", "completed"];
const STYLES = {
  failed: "broken",
  running: "part",
  pending: "todo",
  cancelled: "past",
  completed: "flow",
};

/** Create the bar: `{element, update(shards)}`; it is drawn anew only when there is another number of cells. */
export function shardBar(app, signal) {
  const cells = h("div", { class: "ledger", role: "img" });
  const note = h("p", { class: "meta ledger-note" });
  const element = h("div", { class: "ledger-box" }, cells, note);
  let latest = null;

  function update(shards) {
    latest = shards;
    paint();
  }

  function paint() {
    const width = cells.clientWidth;
    if (latest === null || width === 0) {
      return;
    }
    const { items, counts } = latest;
    const count = Math.min(items.length, MAX_CELLS, Math.floor(width / (MIN_CELL + GAP)));
    const size = items.length / Math.max(count, 1);
    if (cells.childElementCount !== count) {
      put(cells, ...Array.from({ length: count }, () => h("span")));
    }
    for (let index = 0; index < count; index += 1) {
      const shown = items.slice(Math.floor(index * size), Math.floor((index + 1) * size));
      const status = ORDER.find((one) => shown.some((shard) => shard.status === one));
      const share = sum(shown, "done") / Math.max(sum(shown, "rows"), 1);
      set(cells.children[index], {
        class: STYLES[status],
        title: titleOf(app, shown, status),
        vars: { share },
      });
    }
    const said = saidOf(app, counts);
    set(cells, { "aria-label": said });
    note.textContent = said;
  }

  const sized = new ResizeObserver(paint);
  sized.observe(cells);
  signal.addEventListener("abort", () => sized.disconnect(), { once: true });
  return { element, update };
}

/** How many shards are done, run, wait and have failed. */
export function saidOf({ t, format }, counts) {
  const n = format.number;
  return [
    t("job.shards.done", { n: n(counts.completed), total: n(counts.all) }),
    ...["running", "pending", "failed", "cancelled"]
      .filter((status) => counts[status] > 0)
      .map((status) => `${t(`state.${status}`)}: ${n(counts[status])}`),
  ].join(" · ");
}

function titleOf({ t, format }, shown, status) {
  const [first, last] = [shown[0], shown.at(-1)];
  const name =
    first === last
      ? t("job.shard", { n: format.number(first.shard) })
      : `${t("job.shard", { n: format.number(first.shard) })}–${format.number(last.shard)}`;
  return [name, t(`state.${status}`), first === last ? first.worker : null].filter(Boolean).join(", ");
}

function sum(shards, member) {
  return shards.reduce((total, shard) => total + shard[member], 0);
}
