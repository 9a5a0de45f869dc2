// Why a job waits, in the words of the page: of one that is pending, and of one that is not created yet.

/** The sentence for the reason of a pending job; for an unknown one the API's own. */
export function waitingSentence({ t, format, live }, found, kind) {
  const { facts, code } = found;
  const n = (value) => (typeof value === "number" ? format.number(value) : value);
  const said = {
    waiting_its_turn: () =>
      t("explain.waiting_its_turn", {
        position: n(found.position),
        mine: n(found.jobs_of_mine_ahead ?? facts.mine_ahead ?? 0),
      }),
    next: () => t("explain.next", { busy: n(facts.busy), slots: n(facts.slots) }),
    slow_pick_up: () => t("explain.slow_pick_up"),
    engine_unavailable: () => t("explain.engine_unavailable"),
    waiting_for_node: () => t("explain.waiting_for_node"),
    queue_paused: () =>
      facts.name === null
        ? t("explain.queue_paused.plain", { reason: facts.reason })
        : t("explain.queue_paused", { name: facts.name, reason: facts.reason }),
    no_worker: () => t("explain.no_worker", { queue: found.queue }),
    no_worker_knows_kind: () =>
      t("explain.no_worker_knows_kind", { queue: found.queue, kind: facts.kind ?? kind }),
    no_worker_has_gpus: () =>
      t("explain.no_worker_has_gpus", { queue: found.queue, n: n(facts.gpus), most: n(facts.most_gpus) }),
    delayed: () => t("explain.delayed", { time: format.exact(new Date(facts.run_at)) }),
    retry_wait: () =>
      t("explain.retry_wait", {
        n: n(facts.failures),
        max: n(facts.max_attempts),
        t: format.whole(Math.max((Date.parse(facts.run_at) - live.now()) / 1000, 0)),
      }),
    owner_limit: () => t("explain.limit", { n: n(facts.limit) }),
  }[code];
  return said === undefined ? found.sentence : said();
}
