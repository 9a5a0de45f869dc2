// API client. Keeps the tokens in memory only, so reloading the page signs the user out.

// The API's root is one level up, wherever the page is mounted.
const BASE = new URL("../", import.meta.url);

const TIMEOUT_MILLISECONDS = 30_000;
const REFRESH_MILLISECONDS_BEFORE_EXPIRY = 30_000;

/** An error response, or a request without a response (status 0). The message is shown to the user. */
export class Problem extends Error {
  constructor(status, detail, { code = "", errors = [] } = {}) {
    super([detail, ...errors.map(describeError)].join("\n"));
    this.status = status;
    this.code = code;
  }

  /** Whether a retry may succeed. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

function describeError({ loc, msg }) {
  const field = loc.slice(1).join(".");
  return field ? `${field}: ${msg}` : msg;
}

/** Client for the API, with the session of one user at a time. */
export class Api {
  #accessToken = null;
  #refreshToken = null;
  #refreshAt = 0;
  #refreshing = null;

  /** Called with a message when the session has expired. */
  onSignedOut = () => {};

  async signIn(username, password) {
    this.#store(await send("POST", "token", { body: new URLSearchParams({ username, password }) }));
  }

  signOut() {
    this.#accessToken = null;
    this.#refreshToken = null;
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

  /** The `seq` of the job's last event. */
  async lastSeq(jobId, signal) {
    return (await this.#call("GET", `jobs/${jobId}/events?limit=1`, { signal })).last_seq;
  }

  /** Create the URL of a job's event stream after event `after`. Its ticket is valid once, for 30 seconds. */
  async streamUrl(jobId, after, signal) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ job_id: jobId });
    const { ticket } = await this.#call("POST", "stream-tickets", { headers, body, signal });
    const url = new URL(`jobs/${jobId}/stream`, BASE);
    url.search = new URLSearchParams({ ticket, after });
    return url;
  }

  /** Send an authenticated request. Refreshes the access token before it expires, and once after a 401. */
  async #call(method, path, request = {}) {
    if (Date.now() >= this.#refreshAt) {
      await this.#refresh();
    }
    const usedToken = this.#accessToken;
    try {
      return await send(method, path, request, usedToken);
    } catch (problem) {
      if (problem.status !== 401) {
        throw problem;
      }
    }
    if (this.#accessToken === usedToken) {
      await this.#refresh();
    }
    return await send(method, path, request, this.#accessToken);
  }

  /** Refresh the tokens. A refresh token is single-use, so concurrent callers share one request. */
  #refresh() {
    this.#refreshing ??= this.#requestTokens().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #requestTokens() {
    const usedToken = this.#refreshToken;
    if (usedToken === null) {
      throw new Problem(401, "Sign in first.");
    }
    try {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify({ refresh_token: usedToken });
      const tokens = await send("POST", "token/refresh", { headers, body });
      if (this.#refreshToken === usedToken) {
        this.#store(tokens);
      }
    } catch (problem) {
      if (problem.status === 401 && this.#refreshToken === usedToken) {
        this.signOut();
        this.onSignedOut("Your session has expired. Please sign in again.");
      }
      throw problem;
    }
  }

  #store(tokens) {
    const lifetime = tokens.expires_in * 1000;
    this.#accessToken = tokens.access_token;
    this.#refreshToken = tokens.refresh_token;
    this.#refreshAt = Date.now() + lifetime - Math.min(REFRESH_MILLISECONDS_BEFORE_EXPIRY, lifetime / 2);
  }
}

/** Send a request and return the JSON of its response. Throws a Problem, or an AbortError on `signal`. */
async function send(method, path, { headers = {}, body, signal } = {}, token = null) {
  const timeout = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
  let response;
  let content;
  try {
    response = await fetch(new URL(path, BASE), {
      method,
      body,
      headers: token === null ? headers : { ...headers, Authorization: `Bearer ${token}` },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      credentials: "omit",
    });
    content = await response.json();
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Problem(response?.status ?? 0, "The server is unreachable. Check your connection and try again.");
  }
  if (!response.ok) {
    throw new Problem(response.status, content.detail, content);
  }
  return content;
}
