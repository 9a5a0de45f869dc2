// Rows as somebody types or pastes them: a JSON list or object, JSON lines, or CSV with a header.

/** The rows in a text: `{rows, fault}`. */
export function rowsIn(text) {
  const trimmed = text.trim();
  if (trimmed === "") {
    return { rows: [], fault: null };
  }
  try {
    if (trimmed.startsWith("[")) {
      const rows = JSON.parse(trimmed);
      return { rows, fault: null };
    }
    if (trimmed.startsWith("{")) {
      const one = objectIn(trimmed);
      if (one !== null) {
        return { rows: [one], fault: null };
      }
      const rows = trimmed.split(/\r?\n/).filter((line) => line.trim() !== "");
      return { rows: rows.map((line) => JSON.parse(line)), fault: null };
    }
  } catch (error) {
    return { rows: [], fault: error.message };
  }
  const [names, ...rows] = recordsOf(trimmed);
  return {
    rows: rows.map((cells) => Object.fromEntries(names.map((name, at) => [name, valueOf(cells[at])]))),
    fault: null,
  };
}

/** The object that a text is, over however many lines; null if it is something else. */
function objectIn(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An empty cell is a missing value, and what is written like a number is one. */
function valueOf(cell) {
  if (cell === undefined || cell === "") {
    return null;
  }
  return /^-?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d+)?$/.test(cell) ? Number(cell) : cell;
}

/** The records of a CSV text (RFC 4180). */
function recordsOf(text) {
  const records = [[""]];
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    const record = records.at(-1);
    if (isQuoted) {
      if (character === '"' && text[at + 1] === '"') {
        record[record.length - 1] += '"';
        at += 1;
      } else if (character === '"') {
        isQuoted = false;
      } else {
        record[record.length - 1] += character;
      }
    } else if (character === '"' && record.at(-1) === "") {
      isQuoted = true;
    } else if (character === ",") {
      record.push("");
    } else if (character === "\n") {
      records.push([""]);
    } else if (character !== "\r") {
      record[record.length - 1] += character;
    }
  }
  return records.filter((record) => record.length > 1 || record[0] !== "");
}
