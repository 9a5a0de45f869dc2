// Creates elements. No other module calls createElement, and text is only ever set as text nodes.

const SVG = "http://www.w3.org/2000/svg";

// Set as properties: as attributes they would only be defaults.
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate", "open", "selected"]);

/**
 * Create an HTML element: `h("a", { href }, "text", node, [more])`.
 *
 * Members `on…` are listeners, `vars` custom properties, and all others attributes. A member or a child that is
 * null, undefined or false is left out.
 */
export function h(name, members, ...children) {
  return fill(document.createElement(name), members, children);
}

/** Create an SVG element, in the same way. */
export function s(name, members, ...children) {
  return fill(document.createElementNS(SVG, name), members, children);
}

/** Set members of an element as `h` does. */
export function set(element, members) {
  for (const [name, value] of Object.entries(members ?? {})) {
    setMember(element, name, value);
  }
  return element;
}

/** Replace the children of an element, as `h` takes them. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Replace the children of an element, and give the focus to what now stands where it was. */
export function replace(element, ...children) {
  const all = () => [...element.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  const at = all().indexOf(document.activeElement);
  put(element, ...children);
  if (at !== -1) {
    all()[at]?.focus({ preventScroll: true });
  }
}

/** Set the text of an element, if it differs: a text that stays does not disturb the reader's selection. */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function fill(element, members, children) {
  set(element, members);
  element.append(...present(children));
  return element;
}

function setMember(element, name, value) {
  const isAbsent = value === null || value === undefined || value === false;
  if (name.startsWith("on")) {
    if (!isAbsent) {
      element.addEventListener(name.slice(2), value);
    }
  } else if (name === "vars") {
    for (const [variable, setting] of Object.entries(value ?? {})) {
      element.style.setProperty(`--${variable}`, setting);
    }
  } else if (PROPERTIES.has(name) && name in element) {
    element[name] = value ?? "";
  } else if (isAbsent) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : value);
  }
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
