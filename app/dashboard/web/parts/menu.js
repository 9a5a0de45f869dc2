// A menu below a button. Its items are made when it opens.

import { h, put, set } from "../core/h.js";
import { icon } from "./icons.js";

/** Create a button that opens a menu. `items()` gives `{text, run, isDangerous?}`, or elements, which stay open. */
export function menuButton({ label, text = null, symbol = "more", items, className = "quiet square" }) {
  const button = h(
    "button",
    {
      type: "button",
      class: className,
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-label": text === null ? label : null,
      title: label,
    },
    text,
    icon(symbol),
  );
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    openMenu(button, items());
  });
  return button;
}

function openMenu(button, items) {
  const menu = h("div", { class: "menu", popover: "auto", role: "menu" });
  const close = () => menu.hidePopover();
  put(menu, ...items.map((item) => (item instanceof Element ? item : entry(item, close))));
  button.after(menu); // inside an open dialog, too
  menu.addEventListener("keydown", (event) => move(menu, event));
  menu.addEventListener("click", (event) => event.stopPropagation());
  menu.addEventListener("toggle", ({ newState }) => {
    set(button, { "aria-expanded": String(newState === "open") });
    if (newState === "closed") {
      menu.remove();
      if (document.activeElement === document.body) {
        button.focus();
      }
    }
  });
  menu.showPopover();
  place(menu, button);
  menu.querySelector("[role=menuitem], input")?.focus();
}

function entry({ text, run, isDangerous = false }, close) {
  return h(
    "button",
    {
      type: "button",
      role: "menuitem",
      class: isDangerous ? "bad" : null,
      onclick: () => {
        close();
        run();
      },
    },
    text,
  );
}

function place(menu, button) {
  const at = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const below = at.bottom + 4 + size.height <= innerHeight;
  set(menu, {
    vars: {
      x: `${Math.max(Math.min(at.right - size.width, innerWidth - size.width - 8), 8)}px`,
      y: `${below ? at.bottom + 4 : Math.max(at.top - size.height - 4, 8)}px`,
    },
  });
}

function move(menu, event) {
  const entries = [...menu.querySelectorAll("[role=menuitem], input")];
  const here = entries.indexOf(document.activeElement);
  const moves = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: entries.length - 1 };
  if (event.key in moves) {
    event.preventDefault();
    event.stopPropagation();
    entries.at(moves[event.key] % entries.length).focus();
  }
}
