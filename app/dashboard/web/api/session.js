// The session: an access token in memory, renewed with a cookie that no script can read, shared by all tabs.

import { own } from "../core/places.js";
import { signal } from "../core/signal.js";
import { json, Problem, send } from "./request.js";

const MARGIN_SECONDS = 30;

/** The session of this browser. `user` is undefined until it is known, and null when nobody is signed in. */
export class Session {
  user = signal(undefined);

  /** How often a token has come, in this tab or from another. */
  renewed = signal(0);

  /** Asked when the session has ended: resolves when the reader has signed in again. */
  onExpired = () => Promise.reject(new Problem(401, "invalid_token", ""));

  #token = null;
  #expiresAt = 0;
  #refreshing = null;
  #channel = new BroadcastChannel(own("session"));

  constructor() {
    this.#channel.addEventListener("message", ({ data }) => this.#hear(data));
  }

  /** Find out who is signed in. Throws a Problem if the server cannot say. */
  async restore() {
    try {
      await this.#refresh();
    } catch (problem) {
      if (problem.status !== 401) {
        throw problem;
      }
      this.user.value = null;
    }
  }

  async signIn(username, password) {
    const answer = await send("POST", "session", {
      body: { username, password },
      credentials: "same-origin",
    });
    this.#keep(await json(answer));
  }

  /** End the session everywhere in this browser. */
  async signOut() {
    await send("DELETE", "session", { credentials: "same-origin" });
    this.#channel.postMessage({ type: "signed_out" });
    this.#forget();
  }

  /**
   * Send a request with the token, and return its response.
   *
   * A token that is about to expire is renewed before. When the session has ended, the reader signs in, and the
   * request is repeated.
   */
  async send(method, path, options = {}) {
    for (;;) {
      const token = await this.#current(options.signal);
      try {
        return await send(method, path, { ...options, token });
      } catch (problem) {
        if (problem.status !== 401) {
          throw problem;
        }
        if (this.#token === token) {
          this.#expiresAt = 0;
        }
      }
    }
  }

  /** Send a request with the token, and return the JSON of its response. */
  async json(method, path, options = {}) {
    return await json(await this.send(method, path, options), options.signal);
  }

  /** The token, renewed if it is about to expire, for requests that are not sent with `fetch`. */
  token = () => this.#current();

  get = (path, query, signal) => this.json("GET", path, { query, signal });

  post = (path, body, options = {}) => this.json("POST", path, { body, ...options });

  async #current(signal) {
    while (Date.now() >= this.#expiresAt) {
      try {
        await this.#refresh();
      } catch (problem) {
        if (problem.status !== 401 || this.user.peek() === null) {
          throw problem;
        }
        await unlessAborted(this.onExpired(), signal);
      }
    }
    return this.#token;
  }

  /** Renew the token. A refresh token works once, so tabs take turns, and callers share one request. */
  #refresh() {
    const before = this.#token;
    this.#refreshing ??= exclusively(async () => {
      if (this.#token !== before) {
        return; // another tab has renewed it, and has told us
      }
      const answer = await send("POST", "session/refresh", { credentials: "same-origin" });
      this.#keep(await json(answer));
    }).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  #keep({ access_token: token, expires_in: seconds, user }) {
    const message = { type: "token", token, expiresAt: Date.now() + margin(seconds) * 1000, user };
    this.#channel.postMessage(message);
    this.#hear(message);
  }

  #hear(message) {
    if (message.type === "signed_out") {
      this.#forget();
      return;
    }
    const known = this.user.peek();
    if (known && known.user_id !== message.user.user_id) {
      location.reload(); // somebody else has signed in: nothing on this page is theirs
      return;
    }
    this.#token = message.token;
    this.#expiresAt = message.expiresAt;
    this.renewed.value = this.renewed.peek() + 1;
    if (!known || known.role !== message.user.role) {
      this.user.value = message.user;
    }
  }

  #forget() {
    this.#token = null;
    this.#expiresAt = 0;
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith("headrace.")) {
        sessionStorage.removeItem(key);
      }
    }
    this.user.value = null;
  }
}

function margin(seconds) {
  return seconds - Math.min(MARGIN_SECONDS, seconds / 2);
}

/** Await a promise, but not beyond the abort of a signal. */
function unlessAborted(promise, signal) {
  if (!signal) {
    return promise;
  }
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Run one of these at a time in the browser; without locks, which need HTTPS, in this tab. */
async function exclusively(run) {
  return navigator.locks === undefined ? await run() : await navigator.locks.request(own("session"), run);
}
