// The data of a job: texts, rows, or a dataset, which a dropped file may become.

import { upload } from "../../api/upload.js";
import { h, setText } from "../../core/h.js";
import { choice } from "../../parts/choice.js";
import { field } from "../../parts/forms.js";
import { linesOf } from "../../parts/first-job.js";
import { sentenceOf } from "../../parts/problems.js";
import { rowsIn } from "../../parts/typed-rows.js";
import { fillDatasets } from "./common.js";

const MAX_ROWS = 1000;
const TYPES = {
  csv: "text/csv",
  jsonl: "application/x-ndjson",
  ndjson: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
};

/**
 * Create the fields for one of the `sources`: `texts`, `rows`, `dataset`.
 *
 * `given` is a body whose rows are in its member `rowsMember`. `onChange` is called when there are other columns.
 */
export function dataFields(app, signal, { sources, given, rowsMember, onChange = () => {} }) {
  const { t, format, session } = app;
  const rowsGiven = given[rowsMember];
  let source = sourceOf(sources, given, rowsGiven);
  let datasets = [];
  let isLoaded = false;
  const count = h("span");
  const texts = field(app, {
    name: "texts",
    label: t("new.texts"),
    rows: 8,
    value: given.texts?.every((one) => !one.includes("\n")) ? given.texts.join("\n") : "",
    spellcheck: "false",
    note: count,
    required: true,
  });
  const rows = field(app, {
    name: rowsMember,
    label: t("new.rows"),
    rows: 8,
    class: "mono",
    spellcheck: "false",
    required: true,
    value: textOf(rowsGiven ?? given.texts),
  });
  rows.check = () => {
    const { fault } = rowsIn(rows.value);
    return fault === null ? null : t("form.json", { detail: fault });
  };
  const dataset = field(app, {
    name: "dataset_id",
    label: t("new.dataset"),
    options: [["", "–"]],
    required: true,
  });
  const drop = dropZone(app, signal, async (made) => {
    datasets = await fillDatasets(session, dataset.input, made.dataset_id, signal);
    changed();
  });
  const fields = { texts, rows, dataset };
  const titles = { texts: t("new.texts"), rows: t("new.rows"), dataset: t("new.dataset") };
  const picker =
    sources.length > 1 &&
    choice(
      t("new.data"),
      sources.map((name) => [name, titles[name]]),
      source,
      (name) => {
        source = name;
        show();
        changed();
      },
    );

  function changed() {
    onChange();
    dataset.element.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function show() {
    for (const name of sources) {
      fields[name].element.hidden = name !== source;
    }
    drop.hidden = source !== "dataset";
    const lines = linesOf(texts.value).length;
    const values = { n: format.number(lines), max: format.number(MAX_ROWS) };
    setText(count, t(lines > MAX_ROWS ? "new.texts.many" : "new.texts.count", values));
    count.classList.toggle("bad", lines > MAX_ROWS);
  }

  texts.input.addEventListener("input", show, { signal });
  rows.input.addEventListener("change", onChange, { signal });
  dataset.input.addEventListener("change", onChange, { signal });
  show();
  return {
    fields: sources.map((name) => fields[name]),
    nodes: [picker, ...sources.map((name) => fields[name].element), drop].filter(Boolean),
    ready: fillDatasets(session, dataset.input, given.dataset_id, signal).then((found) => {
      datasets = found;
      isLoaded = true;
      onChange();
    }),
    get source() {
      return source;
    },
    /** The columns of the data, as far as they are known: `[name, type]`. */
    columns() {
      if (source === "dataset") {
        const found = datasets.find((one) => one.dataset_id === dataset.value);
        return found?.columns.map(({ name, type }) => [name, type]) ?? [];
      }
      const names = new Set(rowsIn(rows.value).rows.flatMap((row) => Object.keys(row ?? {})));
      return [...names].map((name) => [name, null]);
    },
    body() {
      if (source === "dataset") {
        const id = isLoaded ? dataset.value : given.dataset_id;
        return id ? { dataset_id: id } : {};
      }
      if (source === "texts") {
        return { texts: linesOf(texts.value) };
      }
      const found = rowsIn(rows.value).rows;
      const isTexts = sources.includes("texts") && found.every((row) => typeof row === "string");
      return { [isTexts ? "texts" : rowsMember]: found };
    },
  };
}

function sourceOf(sources, given, rowsGiven) {
  if (given.dataset_id) {
    return "dataset";
  }
  // A text of several lines is not one of a list of lines.
  if (rowsGiven !== undefined || given.texts?.some((one) => one.includes("\n"))) {
    return "rows";
  }
  return sources[0];
}

function textOf(rows) {
  return rows === undefined ? "" : `[\n${rows.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n]`;
}

/** A file that is dropped or chosen becomes a dataset. */
function dropZone(app, signal, onMade) {
  const { t, format, session } = app;
  const said = h("p", { class: "meta", role: "status" });
  const file = h("input", {
    type: "file",
    accept: ".csv,.jsonl,.ndjson,.parquet",
    class: "unseen",
    tabindex: -1,
    "aria-hidden": "true",
  });
  const button = h("button", { type: "button", class: "quiet", onclick: () => file.click() }, t("new.file"));
  const zone = h("div", { class: "drop" }, button, file, said);

  async function send(one) {
    if (one === undefined) {
      return;
    }
    const type = TYPES[one.name.split(".").at(-1).toLowerCase()] ?? "text/csv";
    const onProgress = (done, total) =>
      setText(said, done < total ? format.percent(done / total) : t("data.checking"));
    try {
      await onMade(
        await upload(session, "POST", "datasets", one, {
          query: { name: one.name },
          type,
          signal,
          onProgress,
        }),
      );
      setText(said, "");
    } catch (problem) {
      if (problem.status !== undefined) {
        setText(said, sentenceOf(app, problem));
      } else if (!signal.aborted) {
        throw problem;
      }
    }
  }

  // The event of the input does not reach the form: a chosen file is not yet a change of the request.
  file.addEventListener("change", (event) => {
    event.stopPropagation();
    send(file.files[0]);
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    send(event.dataTransfer.files[0]);
  });
  return zone;
}
