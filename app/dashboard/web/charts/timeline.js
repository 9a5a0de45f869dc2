// The life of a job: when it waited, which attempts ran where, and what lay between them.

import { h, put, set } from "../core/h.js";

/** Create the timeline: `{element, update(job, attempts)}`. */
export function timeline(app) {
  const { t, format, live } = app;
  const strip = h("div", { class: "timeline", role: "img" });
  const ticks = h("p", { class: "meta timeline-ticks" });
  const note = h("p", { class: "meta" });
  const element = h("div", { class: "timeline-box" }, strip, ticks, note);

  function update(job, attempts) {
    const segments = segmentsOf(app, job, attempts);
    const start = segments[0]?.from ?? Date.parse(job.created_at);
    const end = segments.at(-1)?.to ?? start;
    const total = Math.max(end - start, 1);
    put(
      strip,
      ...segments.map((one) =>
        set(
          h(
            "span",
            { class: `segment ${one.name}`, title: one.text },
            h("span", { class: "strip" }),
            h("span", { class: "label" }, one.text),
          ),
          { vars: { share: Math.max((one.to - one.from) / total, 0.004) } },
        ),
      ),
    );
    set(strip, { "aria-label": `${t("job.life")}: ${segments.map((one) => one.text).join(", ")}` });
    const ended = job.completed_at !== null;
    put(
      ticks,
      h("span", null, format.moment(new Date(start), live.now())),
      h(
        "span",
        null,
        ended
          ? format.moment(new Date(end), live.now())
          : `${t("time.now")} ${format.clock(new Date(live.now()))}`,
      ),
    );
    const last = job.attempt;
    note.textContent =
      attempts.length > 0 && last > 1
        ? `${t("job.life.once")} ${t("job.life.went", { n: format.number(last), m: format.number(last - 1) })}`
        : "";
  }

  return { element, update };
}

function segmentsOf(app, job, attempts) {
  const { t, format, live } = app;
  const segments = [];
  const add = (name, from, to, text) => to - from > 0 && segments.push({ name, from, to, text });
  const length = (from, to) => format.duration((to - from) / 1000);
  let at = Date.parse(job.created_at);
  for (const attempt of attempts) {
    const [from, to] = [Date.parse(attempt.started_at), Date.parse(attempt.ended_at)];
    add("wait", at, from, `${t("job.life.wait")}, ${length(at, from)}`);
    const worker = attempt.worker ?? "?";
    const isLost = attempt.outcome === "rescued";
    const text = t("job.life.attempt", { n: format.number(attempt.attempt), worker, t: length(from, to) });
    add(
      isLost ? "lost" : `attempt ${attempt.outcome}`,
      from,
      to,
      isLost ? `${text}; ${t("job.life.lost", { worker, t: length(from, to) })}` : text,
    );
    at = to;
  }
  const now = live.now();
  if (job.shards !== null && job.started_at !== null) {
    // The attempts at its shards overlap: what counts is from the first of them on.
    const from = Date.parse(job.started_at);
    const to = job.completed_at === null ? Math.max(now, from + 1) : Date.parse(job.completed_at);
    add("wait", at, from, `${t("job.life.wait")}, ${length(at, from)}`);
    const text = `${t(`state.${job.status}`)}, ${length(from, to)}`;
    add(`attempt ${job.status}`, from, to, text);
    return segments;
  }
  if (job.status === "running" && job.attempt_started_at !== null) {
    const from = Date.parse(job.attempt_started_at);
    add("wait", at, from, `${t("job.life.wait")}, ${length(at, from)}`);
    add(
      "attempt running",
      from,
      Math.max(now, from + 1),
      t("job.life.sofar", {
        n: format.number(job.attempt),
        worker: job.worker ?? "…",
        t: format.whole((now - from) / 1000),
      }),
    );
  } else {
    const to = job.completed_at === null ? now : Date.parse(job.completed_at);
    add("wait", at, to, `${t("job.life.wait")}, ${length(at, to)}`);
  }
  return segments;
}
