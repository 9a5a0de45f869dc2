// Elements of the page, found and made. Whatever is shown goes through textContent: data is never markup.

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with attributes and children; a child that is not an element is shown as text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** Show a sentence in an element that is hidden while there is none. */
export function say(place, sentence) {
  place.textContent = sentence ?? "";
  place.hidden = !sentence;
}

/** An instant in the reader's own time, as an element that keeps the exact one. */
export function instant(at) {
  const time = new Date(at);
  const shown = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return element("time", { datetime: at, title: time.toLocaleString() }, shown);
}
