// Where everything is, found from the address of this module: it works below any prefix.

/** The root of the dashboard. */
export const DASHBOARD = new URL("../../../", import.meta.url);

/** The root of the API. */
export const API = new URL("../", DASHBOARD);

/** A file of this version of the dashboard. */
export function asset(name) {
  return new URL(`../${name}`, import.meta.url);
}

/** The address of a page: `to("jobs/1")`, with a query from an object. */
export function to(path, query = {}) {
  const url = new URL(`./${path}`, DASHBOARD); // never to another site, whatever the path is
  url.search = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== null && value !== undefined),
  );
  return url.href;
}

/** The path of a page below the dashboard, without a slash at its end; null for an address elsewhere. */
export function pathOf(url) {
  if (url.origin !== DASHBOARD.origin) {
    return null;
  }
  if (url.pathname === new URL("scheduler/", API).pathname) {
    return "schedules";
  }
  if (!url.pathname.startsWith(DASHBOARD.pathname)) {
    return null;
  }
  return url.pathname.slice(DASHBOARD.pathname.length).replace(/\/$/, "");
}

/** A name that this Headrace has to itself among those of the origin, for locks, channels and storage. */
export function own(name) {
  return `headrace.${name}:${API.pathname}`;
}
