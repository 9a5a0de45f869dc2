// A choice between few things.

import { h } from "../core/h.js";

/** A row of buttons of which one is pressed. */
export function choice(label, options, chosen, onChange) {
  const buttons = options.map(([name, text]) =>
    h("button", { type: "button", "aria-pressed": String(name === chosen) }, text),
  );
  buttons.forEach((button, index) =>
    button.addEventListener("click", () => {
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      onChange(options[index][0]);
    }),
  );
  return h("div", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}
