// The curves of a training: losses, and how good the model is on the validation rows.

import { lines } from "../charts/lines.js";
import { dataTable } from "../charts/table.js";
import { h, put, s } from "../core/h.js";
import { signal as value } from "../core/signal.js";

const LOSS = [
  ["valid_loss", "job.curves.valid"],
  ["train_loss", "job.curves.train"],
];
const GOOD = [
  ["valid_accuracy", "job.curves.accuracy"],
  ["valid_r2", "job.curves.r2"],
];
const MAX_LABELS = 8;

/** Create two charts that share their epochs: `{element, table, update(history)}`. */
export function epochCurves(app, signal) {
  const { t, format } = app;
  const [loss, good] = pair(app, signal, { onScale: () => history.length > 0 && show() });
  const element = h("div", { class: "curves" }, loss.element, good.element);
  const rows = h("div");
  const table = h("details", null, h("summary", null, t("act.table")), rows);
  let history = [];

  function show() {
    const common = {
      ...axis(
        app,
        history.map((one) => one.epoch),
      ),
      best: bestOf(history),
    };
    loss.update({ ...common, isLog: loss.isLog(), series: series(app, LOSS, history) });
    const measured = series(app, GOOD, history);
    good.element.hidden = measured.length === 0;
    good.update({ ...common, title: measured[0]?.name, series: measured });
    put(
      rows,
      dataTable(
        {
          columns: Object.keys(history[0]),
          rows: history
            .toReversed()
            .map((one) => Object.values(one).map((found) => (found === null ? "–" : format.value(found)))),
        },
        t("job.tab.curves"),
      ),
    );
  }

  return {
    element,
    table,
    update(next) {
      history = next;
      if (history.length > 0) {
        show();
      }
    },
  };
}

/** Create charts that lay the epochs of several trainings over each other: `{element, update([[name, history]])}`. */
export function overlaidCurves(app, signal) {
  let shown = [];
  const { t } = app;
  const [loss, good] = pair(app, signal, { onScale: () => shown.length > 0 && show() });
  const element = h("div", { class: "curves" }, loss.element, good.element);

  function show() {
    const epochs = [...new Set(shown.flatMap(([, history]) => history.map((one) => one.epoch)))].toSorted(
      (one, other) => one - other,
    );
    const common = { ...axis(app, epochs), best: null };
    const overlaid = (keys) =>
      shown
        .map(([name, history]) => {
          const byEpoch = new Map(history.map((one) => [one.epoch, one]));
          const key = keys.find((one) => measures(history, one));
          return key && { name, values: epochs.map((epoch) => byEpoch.get(epoch)?.[key] ?? null) };
        })
        .filter(Boolean);
    loss.update({ ...common, isLog: loss.isLog(), series: overlaid(LOSS.map(([key]) => key)) });
    const measured = overlaid(GOOD.map(([key]) => key));
    good.element.hidden = measured.length === 0;
    const [, metric] = GOOD.find(([key]) => shown.some(([, history]) => measures(history, key))) ?? GOOD[0];
    good.update({ ...common, title: t(metric), series: measured });
  }

  return {
    element,
    update(next) {
      shown = next;
      show();
    },
  };
}

function pair(app, signal, { onScale }) {
  const { t, format } = app;
  const cursor = value(null);
  let isLog = false;
  const log = h(
    "label",
    { class: "check" },
    h("input", {
      type: "checkbox",
      onchange: ({ target }) => {
        isLog = target.checked;
        onScale();
      },
    }),
    t("job.curves.log"),
  );
  const common = {
    height: 240,
    cursor,
    pointName: t("job.curves.epoch"),
    text: format.value,
    tickText: format.tick,
    decorate: (data, { places, top, bottom }) =>
      data.best === null || places[data.best] === undefined
        ? []
        : [s("line", { class: "best", x1: places[data.best], x2: places[data.best], y1: top, y2: bottom })],
  };
  const loss = lines(app, signal, {
    ...common,
    title: t("job.curves.loss"),
    note: t("job.curves.lower"),
    actions: log,
  });
  const good = lines(app, signal, {
    ...common,
    title: t("job.curves.accuracy"),
    note: t("job.curves.higher"),
  });
  return [{ ...loss, isLog: () => isLog }, good];
}

function axis({ t, format }, epochs) {
  const every = Math.max(Math.ceil(epochs.length / MAX_LABELS), 1);
  return {
    labels: epochs.map((epoch, index) =>
      index % every === 0 || index === epochs.length - 1 ? format.number(epoch) : null,
    ),
    names: epochs.map((epoch) => `${t("job.curves.epoch")} ${format.number(epoch)}`),
  };
}

function series({ t }, keys, history) {
  return keys
    .map(([key, text]) => ({ name: t(text), values: history.map((one) => one[key] ?? null) }))
    .filter((one) => one.values.some((found) => found !== null));
}

function measures(history, key) {
  return history.some((epoch) => (epoch[key] ?? null) !== null);
}

function bestOf(history) {
  const losses = history.map((one) => one.valid_loss ?? one.train_loss ?? Infinity);
  const lowest = Math.min(...losses);
  return Number.isFinite(lowest) ? losses.indexOf(lowest) : null;
}
