// The draft of a new job, in the storage of the tab, so that leaving the form, or signing in again, loses nothing.

const KEY = "headrace.draft";

/** The draft for this address, made by this user: `{task, bodies, isAsked}`; an empty one if there is none. */
export function readDraft({ user }, from) {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY));
    if (found?.user === user.peek()?.user_id && found.from === from) {
      return found;
    }
  } catch {
    // Storage is blocked, or somebody else's.
  }
  return { task: null, bodies: {}, isAsked: false };
}

/** Keep a draft. */
export function writeDraft({ user }, from, draft) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...draft, from, user: user.peek()?.user_id }));
  } catch {
    // Storage is blocked or full: the form itself keeps what was typed.
  }
}

/** Throw the draft away. */
export function dropDraft() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // There is none where storage is blocked.
  }
}
