// DOM helpers. Data is only ever inserted as text, never as markup.

/** Return the element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Create an element with attributes and children. A child that is not an element becomes a text node. */
export function createElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, value);
  }
  element.append(...children);
  return element;
}

/** Show a message in an element, or hide the element if there is no message. */
export function showMessage(element, message) {
  element.textContent = message ?? "";
  element.hidden = !message;
}

/** Create a `<time>` element that shows a timestamp in local time. */
export function createTime(timestamp) {
  const date = new Date(timestamp);
  const text = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return createElement("time", { datetime: timestamp, title: date.toLocaleString() }, text);
}
