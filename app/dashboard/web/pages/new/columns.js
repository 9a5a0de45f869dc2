// Fields for the columns of the data.

import { h, put } from "../../core/h.js";
import { field, setOptions } from "../../parts/forms.js";

const MAX_SHOWN = 200;

/** A field for one column; `offer(columns)` says which there are. */
export function columnField(app, name, label, given = "") {
  const made = field(app, {
    name,
    label,
    options: [["", "–"], ...(given ? [[given, given]] : [])],
    value: given,
    required: true,
  });
  made.offer = (columns) => {
    if (columns.length > 0) {
      setOptions(made.input, [["", "–"], ...columns.map(([one, type]) => [one, described(one, type)])]);
    }
  };
  return made;
}

/** A field for several columns: all of them, unless some are unticked. */
export function columnsField(app, name, label, given = null) {
  const list = h("div", { class: "column-list" });
  const element = h("details", { class: "more-options", hidden: true }, h("summary", null, label), list);
  let chosen = given;
  let known = [];
  return {
    element,
    input: list,
    name,
    get value() {
      return chosen;
    },
    setFault() {},
    /** Show these columns, without the target. */
    offer(columns, target) {
      known = columns.slice(0, MAX_SHOWN).filter(([one]) => one !== target);
      element.hidden = known.length === 0 || columns.length > MAX_SHOWN;
      put(
        list,
        ...known.map(([one, type]) => {
          const tick = h("input", {
            type: "checkbox",
            checked: chosen === null || chosen.includes(one),
            onchange: () => {
              const ticked = new Set(chosen ?? known.map(([each]) => each));
              tick.checked ? ticked.add(one) : ticked.delete(one);
              chosen =
                ticked.size === known.length
                  ? null
                  : known.map(([each]) => each).filter((each) => ticked.has(each));
            },
          });
          return h("label", { class: "check" }, tick, h("bdi", null, described(one, type)));
        }),
      );
    },
  };
}

function described(name, type) {
  return type === null ? name : `${name} (${type})`;
}
