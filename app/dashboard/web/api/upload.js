// Uploads with progress. `fetch` does not report it; a file is sent as it is read, and never held in memory.

import { address, Problem } from "./request.js";

/** Upload a file. Calls `onProgress(sent, total)`. Throws a Problem, or an AbortError. */
export async function upload(session, method, path, file, { query, type, headers = {}, onProgress, signal }) {
  const token = await session.token();
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, address(path, query));
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", type);
    for (const [name, value] of Object.entries(headers)) {
      request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(loaded, total));
    request.addEventListener("load", () => {
      const body = parse(request.responseText);
      if (request.status < 400) {
        resolve(body);
        return;
      }
      const retryAfter = Number(request.getResponseHeader("retry-after")) || null;
      const facts = body ?? {};
      const details = { facts, requestId: facts.request_id ?? null, retryAfter };
      reject(
        new Problem(request.status, facts.code ?? "unavailable", facts.detail ?? request.statusText, details),
      );
    });
    request.addEventListener("error", () => reject(new Problem(0, "network", "")));
    request.addEventListener("abort", () => reject(signal.reason));
    request.addEventListener("loadend", () => signal.removeEventListener("abort", stop));
    signal.addEventListener("abort", stop, { once: true });
    request.send(file);
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
