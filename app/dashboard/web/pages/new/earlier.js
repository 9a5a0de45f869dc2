// The request of an earlier job, with its rows, to be changed and sent again.

const PAGE = 100;

/** The request of a job: `{kind, body}`. Throws the Problem that says why there is none. */
export async function earlier(session, id, signal) {
  const path = `jobs/${encodeURIComponent(id)}`;
  const { kind, request, rows_member: member } = await session.get(`${path}/request`, {}, signal);
  if (member === null) {
    return { kind, body: request };
  }
  const rows = [];
  for (;;) {
    const page = await session.get(`${path}/input`, { first_row: rows.length, limit: PAGE }, signal);
    rows.push(...page.rows);
    if (page.rows.length === 0 || rows.length >= page.total) {
      return { kind, body: { ...request, [member]: rows } };
    }
  }
}
