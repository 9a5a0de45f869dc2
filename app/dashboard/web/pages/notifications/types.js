// What deliveries are about, in the words of the page.

/** The text of a type such as `job.failed`; an unknown one as it is. */
export function typeText({ t, words }, type) {
  const key = `note.type.${type}`;
  return words.has(key) ? t(key) : type;
}
