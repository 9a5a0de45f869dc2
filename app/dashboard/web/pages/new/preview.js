// The request of a form in the words of other clients.

import { API } from "../../core/places.js";

const MAX_SHOWN = 3;

/** The request as a command for curl. */
export function asCurl({ path, body }) {
  const json = JSON.stringify(shortened(body), null, 2).replaceAll("'", "'\\''");
  return `curl ${new URL(path, API)} \\\n  -H "Authorization: Bearer $HEADRACE_TOKEN" \\\n  -H "Content-Type: application/json" \\\n  -d '${json}'`;
}

/** The request as a program. */
export function asPython({ path, body }) {
  const literal = JSON.stringify(shortened(body), null, 4)
    .replaceAll(/: true/g, ": True")
    .replaceAll(/: false/g, ": False")
    .replaceAll(/: null/g, ": None");
  return `import os\n\nimport httpx\n\nresponse = httpx.post(\n    "${new URL(path, API)}",\n    headers={"Authorization": f"Bearer {os.environ['HEADRACE_TOKEN']}"},\n    json=${literal.replaceAll("\n", "\n    ")},\n)\nprint(response.raise_for_status().json())`;
}

/** Of long lists, the first entries: the request is there to be read. */
function shortened(body) {
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [
      name,
      Array.isArray(value) && value.length > MAX_SHOWN ? [...value.slice(0, MAX_SHOWN), "…"] : value,
    ]),
  );
}
