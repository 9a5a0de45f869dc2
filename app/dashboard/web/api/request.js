// Requests to the API: JSON in and out, with a problem for everything that goes wrong.

import { API } from "../core/places.js";

const TIMEOUT_MILLISECONDS = 30_000;
const OF_MODELS = ["name", "number"]; // parts of paths

/** An error response, or a request without a response (status 0, code `network`). `facts` are its other members. */
export class Problem extends Error {
  constructor(status, code, detail, { facts = {}, requestId = null, retryAfter = null } = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.facts = facts;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** The fields of the request that are not valid, each with its path and message. */
  get errors() {
    return this.facts.errors ?? [];
  }
}

/** The URL of an API path, with a query from an object; lists repeat their parameter. */
export function address(path, query = {}) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") {
        url.searchParams.append(name, one);
      }
    }
  }
  return url;
}

/** Send a request and return its response, whose body was not read. Throws a Problem, or an AbortError. */
export async function send(
  method,
  path,
  { query, body, headers = {}, token, signal, timeout, credentials = "omit" } = {},
) {
  const isJson = body !== undefined && !(body instanceof Blob);
  const waited = AbortSignal.timeout(timeout ?? TIMEOUT_MILLISECONDS);
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      body: isJson ? JSON.stringify(body) : body,
      headers: {
        Accept: "application/json",
        ...(isJson && { "Content-Type": "application/json" }),
        ...(token && { Authorization: `Bearer ${token}` }),
        ...headers,
      },
      signal: signal ? AbortSignal.any([signal, waited]) : waited,
      credentials,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Problem(0, "network", String(error?.message ?? error));
  }
  if (!response.ok) {
    throw asMissing(await toProblem(response, signal), path, query);
  }
  return response;
}

/** What is no id is the id of nothing: a problem about the ids alone says that there is no such object. */
function asMissing(problem, path, query) {
  const { errors } = problem;
  const isId = ([place, name]) => place === "path" || (place === "query" && name.endsWith("_id"));
  if (problem.status !== 422 || errors.length === 0 || !errors.every(({ loc }) => isId(loc))) {
    return problem;
  }
  const [, name] = errors[0].loc;
  const what = OF_MODELS.includes(name) ? "model" : name.replace(/_id$/, "");
  const id = query?.[name] ?? decodeURIComponent(path.split("/")[1]);
  return new Problem(404, `${what}_not_found`, problem.message, {
    facts: { [name]: id },
    requestId: problem.requestId,
  });
}

/** The body of a response as JSON; null if it has none. */
export async function json(response, signal) {
  if (response.status === 204) {
    return null;
  }
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Problem(0, "network", String(error?.message ?? error));
  }
}

async function toProblem(response, signal) {
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  const requestId = response.headers.get("x-request-id");
  let facts = {};
  try {
    facts = await response.json();
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    // A proxy has answered, in its own words.
  }
  const code = facts.code ?? (response.status >= 500 ? "unavailable" : "bad_request");
  return new Problem(response.status, code, facts.detail ?? response.statusText, {
    facts,
    requestId: facts.request_id ?? requestId,
    retryAfter,
  });
}
