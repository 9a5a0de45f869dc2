// What the page says to the reader: toasts, the spoken status, and dialogs.

import { h, put } from "../core/h.js";
import { icon } from "./icons.js";

const TOAST_MILLISECONDS = 6000;
const SPOKEN_MILLISECONDS = 5000;

/** Says something once: in a toast, and to screen readers at most every five seconds. */
export class Notices {
  #status = document.getElementById("status");
  #toasts = document.getElementById("toasts");
  #spokenAt = -Infinity;
  #waiting = null;

  constructor(words) {
    this.words = words;
  }

  /** Say that an action is done, or that it failed. */
  toast(text, { kind = "ok" } = {}) {
    const close = () => {
      clearTimeout(timer);
      toast.remove();
    };
    const button = h(
      "button",
      { type: "button", class: "quiet square", "aria-label": this.words.t("act.close"), onclick: close },
      icon("close"),
    );
    const toast = h(
      "div",
      { class: `toast ${kind}` },
      icon(kind === "ok" ? "check" : "alert"),
      h("p", null, text),
      button,
    );
    const timer = setTimeout(close, TOAST_MILLISECONDS);
    this.#toasts.append(toast);
    this.say(text);
  }

  /** Speak a text to screen readers. */
  say(text) {
    const pause = this.#spokenAt + SPOKEN_MILLISECONDS - performance.now();
    clearTimeout(this.#waiting);
    if (pause > 0) {
      this.#waiting = setTimeout(() => this.say(text), pause); // of several, the last counts
      return;
    }
    this.#spokenAt = performance.now();
    this.#status.textContent = text;
  }

  /**
   * Ask before an action. The safe button has the focus. Returns whether the reader agreed.
   *
   * `typed` is a text that has to be typed first, for an action on very many objects; `content` are fields to fill in.
   */
  async ask({
    title,
    text = [],
    action,
    isDangerous = true,
    typed = null,
    content = null,
    keep = this.words.t("act.keep"),
  }) {
    const input =
      typed === null
        ? null
        : h("input", {
            autocomplete: "off",
            inputmode: "numeric",
            "aria-label": this.words.t("jobs.bulk.type", { n: typed }),
          });
    const agree = h(
      "button",
      { type: "submit", value: "yes", class: isDangerous ? "danger" : "primary", disabled: typed !== null },
      action,
    );
    input?.addEventListener("input", () => {
      agree.disabled = input.value.replaceAll(/\D/g, "") !== String(typed).replaceAll(/\D/g, "");
    });
    const answer = await this.dialog(title, [
      ...[text].flat().map((line) => h("p", null, line)),
      content,
      input && h("p", null, this.words.t("jobs.bulk.type", { n: typed })),
      input,
      h(
        "div",
        { class: "actions" },
        h(
          "button",
          { type: "submit", value: "no", class: "plain-button", autofocus: true, formnovalidate: true },
          keep,
        ),
        agree,
      ),
    ]);
    return answer === "yes";
  }

  /** Open a dialog with this content, and return the value of the button that closed it. */
  dialog(title, content, { canCancel = true, onOpen = () => {}, signal } = {}) {
    const heading = h("h2", { id: "dialog-title" }, title);
    const form = h("form", { method: "dialog" });
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    put(form, heading, ...content);
    document.body.append(dialog);
    const before = document.activeElement;
    dialog.addEventListener("cancel", (event) => canCancel || event.preventDefault());
    signal?.addEventListener("abort", () => dialog.close(""), { once: true });
    dialog.showModal();
    onOpen(dialog, form);
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        const answer = dialog.returnValue;
        dialog.remove();
        if (before instanceof HTMLElement && before.isConnected) {
          before.focus();
        }
        resolve(answer);
      });
    });
  }
}
