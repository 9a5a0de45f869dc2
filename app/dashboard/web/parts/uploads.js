// Files on their way to the server: bytes, rate, a button to stop, and why a file was refused.

import { upload } from "../api/upload.js";
import { h, put, setText } from "../core/h.js";
import { named } from "./states.js";

/**
 * Create a list of uploads: `{element, start(file, options)}`. All end with the signal.
 *
 * `options` are those of a request, `path`, `query`, `type`, `headers`; what is said once all bytes have arrived, `checking`; and what
 * is done with the answer, `onDone(answer)`, or said of a problem, `refusal(problem)`.
 */
export function uploadList(app, signal) {
  const { t, session, format } = app;
  const element = h("ul", { class: "running-list uploads" });

  async function start(file, { path, query, type, headers, checking, onDone, refusal }) {
    const stop = new AbortController();
    const text = h("span", { class: "meta" });
    const meter = h("progress", { max: file.size || 1, value: 0, "aria-label": file.name });
    const line = h(
      "li",
      null,
      h("span", { class: "what" }, named(file.name)),
      meter,
      text,
      h("button", { type: "button", class: "quiet", onclick: () => stop.abort() }, t("act.stop.upload")),
    );
    element.append(line);
    const began = performance.now();
    const onProgress = (done, total) => {
      meter.value = done;
      const rate = `${format.bytes((done / Math.max(performance.now() - began, 1)) * 1000)}/s`;
      const facts = { done: format.bytes(done), total: format.bytes(total), rate };
      setText(text, done < total ? t("data.uploading", facts) : checking);
    };
    try {
      const answer = await upload(session, "POST", path, file, {
        query,
        type,
        headers,
        signal: AbortSignal.any([signal, stop.signal]),
        onProgress,
      });
      line.remove();
      onDone(answer);
    } catch (problem) {
      if (problem.status === undefined) {
        line.remove();
        if (!signal.aborted && !stop.signal.aborted) {
          throw problem;
        }
        return;
      }
      put(
        line,
        h("span", { class: "what" }, named(file.name)),
        h("span", { class: "bad", role: "alert", dir: "auto" }, refusal(problem)),
        h("button", { type: "button", class: "quiet", onclick: () => line.remove() }, t("act.close")),
      );
    }
  }

  return { element, start };
}

/** Let files be dropped on an element. */
export function dropTarget(element, onFiles) {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    onFiles([...event.dataTransfer.files]);
  });
}

/** A button that lets the reader choose files, with the field behind it. */
export function fileButton(text, { accept, multiple = true, className = "primary" }, onFiles) {
  const file = h("input", {
    type: "file",
    multiple,
    accept,
    class: "unseen",
    tabindex: -1,
    "aria-hidden": "true",
  });
  file.addEventListener("change", () => {
    onFiles([...file.files]);
    file.value = "";
  });
  return [h("button", { type: "button", class: className, onclick: () => file.click() }, text), file];
}
