// When the job would start, and how long it would take: from a dry run of the request.

import { h, put } from "../../core/h.js";
import { waitingSentence } from "../../parts/outlook.js";
import { faultsOf, sentenceOf } from "../../parts/problems.js";

const QUIET_MILLISECONDS = 600;
const MAX_CHARACTERS = 1_000_000;

/** Create the panel: `{element, show(request)}`. A request that is null is not complete yet. */
export function estimate(app, signal) {
  const { t, session } = app;
  const element = h("div", { class: "estimate" });
  let timer = null;
  let asking = null;
  let seen = null;

  function show(request) {
    const text = request === null ? null : JSON.stringify(request);
    if (text === seen) {
      return;
    }
    seen = text;
    stop();
    if (text === null || text.length > MAX_CHARACTERS) {
      element.replaceChildren();
      return;
    }
    timer = setTimeout(() => ask(request), QUIET_MILLISECONDS);
  }

  async function ask({ path, body }) {
    asking = new AbortController();
    const until = AbortSignal.any([signal, asking.signal]);
    try {
      const found = await session.json("POST", path, { query: { dry_run: true }, body, signal: until });
      until.aborted || put(element, ...said(app, found));
    } catch (problem) {
      if (problem?.status !== undefined && !until.aborted) {
        put(element, h("p", { class: "meta bad", dir: "auto" }, faultOf(app, problem)));
      } else if (!until.aborted) {
        throw problem;
      }
    }
  }

  function stop() {
    clearTimeout(timer);
    asking?.abort();
  }

  signal.addEventListener("abort", stop, { once: true });
  return {
    element: h("div", { class: "step" }, h("h2", null, t("new.estimate")), element),
    show,
  };
}

function said(app, found) {
  const { t, format, words, live } = app;
  const { estimated_start_at: start, estimated_seconds: seconds, jobs, shards = 0 } = found;
  const values = {
    n: format.number(found.position),
    t: start === null ? "" : format.whole(Math.max((Date.parse(start) - live.now()) / 1000, 0)),
    u: seconds === null ? "" : format.duration(seconds),
  };
  const isAtOnce = start !== null && Date.parse(start) - live.now() < 1000;
  const key = [
    ["new.quote.once.takes", isAtOnce && seconds !== null],
    ["new.quote.once", isAtOnce],
    ["new.quote", start !== null && seconds !== null],
    ["new.quote.start", start !== null],
    ["new.quote.takes", seconds !== null],
    ["new.quote.place", true],
  ].find(([, isKnown]) => isKnown)[0];
  return [
    h("p", null, t(key, values)),
    h("p", { class: "meta", dir: "auto" }, waitingSentence(app, found, found.kind)),
    shards > 0 && h("p", { class: "meta" }, t("new.quote.shards", { n: format.number(shards) })),
    jobs > 1 && h("p", { class: "meta" }, words.t("new.quote.jobs", { n: format.number(jobs) })),
  ];
}

function faultOf(app, problem) {
  const [first] = faultsOf(problem);
  return first === undefined
    ? sentenceOf(app, problem)
    : [first.path, first.message].filter(Boolean).join(": ");
}
