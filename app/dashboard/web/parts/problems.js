// Errors of the API in the words of the page.

/** The sentence for a problem, filled with its facts; for an unknown code the API's own. */
export function sentenceOf({ words, format, t }, problem) {
  const { code, facts } = problem;
  if (code === "network") {
    return t("fault.network");
  }
  if (code === "rate_limited") {
    return t("code.rate_limited", { t: format.whole(problem.retryAfter ?? 1) });
  }
  if (code === "forbidden" && facts.permission !== undefined) {
    return problem.message || t("code.forbidden");
  }
  const key = `code.${code}`;
  if (!words.has(key) || (code === "validation_error" && problem.errors.length === 0)) {
    return problem.message || t("code.internal_error");
  }
  const text = t(key, shown(facts, format));
  // A placeholder that the facts do not fill would leave a hole in the sentence.
  return isFilled(words, key, facts) ? text : problem.message;
}

/** The messages for the fields that are not valid: `[{path, message}]`. */
export function faultsOf(problem) {
  return problem.errors.map(({ loc, msg }) => ({ path: loc.slice(1).join("."), message: msg }));
}

// Failures that the texts say better than the API.
const OURS = ["worker_lost", "time_limit", "memory_limit", "child_died"];

/** The sentence for the error of a job. In English that of the API says more than its code does. */
export function failureOf({ words, t }, { code, message }) {
  const key = `fail.${code}`;
  const isKnown = words.has(key) && (words.language !== "en" || !message || OURS.includes(code));
  return isKnown ? t(key) : message;
}

function shown(facts, format) {
  return Object.fromEntries(
    Object.entries(facts).map(([name, fact]) => {
      if (typeof fact === "number") {
        return [name, format.number(fact)];
      }
      return [name, Array.isArray(fact) ? fact.join(", ") : String(fact)];
    }),
  );
}

function isFilled(words, key, facts) {
  return words.placeholders(key).every((name) => facts[name] !== undefined && facts[name] !== null);
}
