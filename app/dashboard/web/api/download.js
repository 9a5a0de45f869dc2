// Downloads: a link cannot send a token, so it gets a ticket that works once.

import { API } from "../core/places.js";

/** Start the download of an API path, such as `/jobs/…/results?format=csv`. */
export async function download(session, path, signal) {
  const { url } = await session.post("download-tickets", { path }, { signal });
  // Relative to the API's root as this page reaches it, whatever prefix the server knows of.
  const target = new URL(path.slice(1), API);
  target.searchParams.set("ticket", new URL(url, API).searchParams.get("ticket"));
  // A download leaves the page as it is.
  location.assign(target);
}
