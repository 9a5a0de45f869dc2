// Asks for a model file, and uploads it as the next version of a model.

import { formDialog } from "../../parts/form-dialog.js";
import { field } from "../../parts/forms.js";
import { sentenceOf } from "../../parts/problems.js";

const NAME = /^[a-zA-Z][a-zA-Z0-9_.-]{0,99}$/;
const TYPE = "application/octet-stream";

/** Ask for a file, with its name unless it is given, and start its upload. `onDone(version)` gets the new version. */
export async function askForFile(app, uploads, { name = null, signal, onDone }) {
  const { t } = app;
  const model = field(app, { name: "model", label: t("models.name"), required: true, autocomplete: "off" });
  const alias = field(app, { name: "alias", label: t("models.alias.optional"), autocomplete: "off" });
  const file = field(app, {
    name: "file",
    type: "file",
    label: t("models.file"),
    accept: ".skops,.onnx,.zip",
    required: true,
  });
  await formDialog(app, signal, {
    title: t("models.upload"),
    fields: [...(name === null ? [model] : []), file, alias],
    action: t("data.upload"),
    send: () => {
      const wrong = [model, alias].find((one) => one.value.trim() !== "" && !NAME.test(one.value.trim()));
      if (wrong !== undefined) {
        wrong.setFault(t("models.alias.form"));
        wrong.input.focus();
        return false;
      }
      send(app, uploads, file.input.files[0], {
        name: name ?? model.value.trim(),
        alias: alias.value.trim(),
        onDone,
      });
      return true;
    },
  });
}

function send(app, uploads, file, { name, alias, onDone }) {
  const { t } = app;
  uploads.start(file, {
    path: `models/${encodeURIComponent(name)}/versions`,
    query: { alias },
    type: TYPE,
    checking: t("models.checking"),
    refusal: (problem) =>
      problem.code === "unsafe_model" && problem.facts.types?.length > 0
        ? t("models.unsafe", { types: problem.facts.types.join(", ") })
        : sentenceOf(app, problem),
    onDone: (version) => {
      app.notices.toast(t("models.uploaded", { version: version.model }));
      onDone(version);
    },
  });
}
