// The calls of the API, and the tokens for them. Tokens are kept in memory only: to reload is to sign out.

// One level up from here, wherever the page is mounted.
const BASE = new URL("../", import.meta.url);

const ANSWER_MILLISECONDS = 30_000;
const RENEW_MILLISECONDS_BEFORE = 30_000;

/** An answer that is an error, or no answer at all (its status is 0). The message is for people. */
export class Problem extends Error {
  constructor(status, detail, { code = "", errors = [] } = {}) {
    super([detail, ...errors.map(faultSentence)].join("\n"));
    this.status = status;
    this.code = code;
  }

  /** Whether to ask again in a while may help. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

function faultSentence({ loc, msg }) {
  const place = loc.slice(1).join(".");
  return place ? `${place}: ${msg}` : msg;
}

/** The API, for one user at a time. */
export class Api {
  #access = null;
  #refresh = null;
  #renewAt = 0;
  #renewal = null;

  /** Called with a sentence when the session has ended by itself. */
  onSignedOut = () => {};

  async signIn(username, password) {
    this.#keep(await send("POST", "token", { body: new URLSearchParams({ username, password }) }));
  }

  signOut() {
    this.#access = null;
    this.#refresh = null;
  }

  createJob(body, idempotencyKey) {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
    return this.#call("POST", "jobs/batch-predict", { headers, body });
  }

  recentJobs(limit) {
    return this.#call("GET", `jobs?limit=${limit}`);
  }

  job(jobId, signal) {
    return this.#call("GET", `jobs/${jobId}`, { signal });
  }

  cancelJob(jobId) {
    return this.#call("POST", `jobs/${jobId}/cancel`);
  }

  results(jobId, cursor, limit, signal) {
    const query = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    return this.#call("GET", `jobs/${jobId}/results?${query}`, { signal });
  }

  /** How many events the log of a job has. */
  async lastSeq(jobId, signal) {
    return (await this.#call("GET", `jobs/${jobId}/events?limit=1`, { signal })).last_seq;
  }

  /** The address of a job's stream after an event, good for one use within half a minute. */
  async streamUrl(jobId, after, signal) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ job_id: jobId });
    const { ticket } = await this.#call("POST", "stream-tickets", { headers, body, signal });
    const url = new URL(`jobs/${jobId}/stream`, BASE);
    url.search = new URLSearchParams({ ticket, after });
    return url;
  }

  /** A call as the signed-in user. A token that is, or turns out to be, too old is renewed first. */
  async #call(method, path, request = {}) {
    if (Date.now() >= this.#renewAt) {
      await this.#renew();
    }
    const used = this.#access;
    try {
      return await send(method, path, request, used);
    } catch (problem) {
      if (problem.status !== 401) {
        throw problem;
      }
    }
    if (this.#access === used) {
      await this.#renew();
    }
    return await send(method, path, request, this.#access);
  }

  /** Trade the refresh token for a new pair. It is good once, so all who wait share one trade. */
  #renew() {
    this.#renewal ??= this.#trade().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #trade() {
    const spent = this.#refresh;
    if (spent === null) {
      throw new Problem(401, "Sign in first.");
    }
    try {
      const headers = { "Content-Type": "application/json" };
      const pair = await send("POST", "token/refresh", { headers, body: JSON.stringify({ refresh_token: spent }) });
      if (this.#refresh === spent) {
        this.#keep(pair);
      }
    } catch (problem) {
      if (problem.status === 401 && this.#refresh === spent) {
        this.signOut();
        this.onSignedOut("Your session has ended. Please sign in again.");
      }
      throw problem;
    }
  }

  #keep(pair) {
    const lifetime = pair.expires_in * 1000;
    this.#access = pair.access_token;
    this.#refresh = pair.refresh_token;
    this.#renewAt = Date.now() + lifetime - Math.min(RENEW_MILLISECONDS_BEFORE, lifetime / 2);
  }
}

/** One request; gives the answer's JSON, throws a Problem, or an AbortError if the signal says so. */
async function send(method, path, { headers = {}, body, signal } = {}, token = null) {
  const patience = AbortSignal.timeout(ANSWER_MILLISECONDS);
  let answer;
  let content;
  try {
    answer = await fetch(new URL(path, BASE), {
      method,
      body,
      headers: token === null ? headers : { ...headers, Authorization: `Bearer ${token}` },
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      credentials: "omit",
    });
    content = await answer.json();
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Problem(answer?.status ?? 0, "The server cannot be reached right now.");
  }
  if (!answer.ok) {
    throw new Problem(answer.status, content.detail, content);
  }
  return content;
}
