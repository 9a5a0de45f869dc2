// What each role may do. The only place that maps a role to actions; the server decides in the end.

/** The roles, each with the rights of those before it. */
export const ROLES = ["viewer", "user", "operator", "admin"];

// The lowest role that may do it.
const NEEDS = {
  submit: "user", // create, cancel and retry jobs, upload, schedule, subscribe
  operate: "operator", // see and control the jobs of all users, pause queues
  administer: "admin", // users, roles, quotas, the audit log, the state of the system
};

/** Whether a user may do something. */
export function can(user, action) {
  return user !== null && user !== undefined && ROLES.indexOf(user.role) >= ROLES.indexOf(NEEDS[action]);
}

// The scopes of an API key, and the action that its owner must be allowed to do.
const SCOPES = [
  ["jobs:read", null],
  ["jobs:write", "submit"],
  ["predict", "submit"],
  ["models:*", "submit"],
  ["datasets:*", "submit"],
  ["notifications:*", "submit"],
  ["admin", "administer"],
];

/** The scopes that a user may give to an API key. */
export function scopesOf(user) {
  return SCOPES.filter(([, action]) => action === null || can(user, action)).map(([scope]) => scope);
}
