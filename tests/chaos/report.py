"""Formats the verdict of a drill."""

import math
from collections.abc import Sequence

from tests.chaos.options import Options
from tests.chaos.verdict import Verdict


def table(options: Options, verdict: Verdict) -> str:
    """Format all counts and measurements, and the violated guarantees."""
    ended = verdict.ended
    length = f"{options.minutes:g} min ({verdict.seconds:.0f} s in total)"
    lines = [
        f"seed {options.seed}, {length}, {options.apis} APIs, {options.workers} workers",
        "",
        *_row("jobs acknowledged", verdict.acknowledged),
        *_row(
            "completed / failed / cancelled", *(ended[end] for end in ("completed", "failed", "cancelled"))
        ),
        *_row("lost", verdict.lost),
        *_row("duplicated", verdict.doubled),
        *_row("logs with gaps", verdict.event_gaps),
        *_row("batches stored", verdict.batches),
        *_row("batches recomputed / attempts lost", verdict.recomputed, verdict.attempts_lost),
        *_row("streams followed / connections", verdict.streams, verdict.reconnects),
        *_row("attempts", ", ".join(f"{count} {name}" for name, count in sorted(verdict.outcomes.items()))),
        *_row("responses", ", ".join(f"{count} {name}" for name, count in sorted(verdict.answers.items()))),
        *_row(
            "errors in the logs", ", ".join(f"{n} {name}" for name, n in verdict.log_errors.items() if n) or 0
        ),
        "",
        f"{'fault':<20} {'count':>5} {'samples':>8} {'p50 s':>7} {'p95 s':>7} {'max s':>7}",
        *(
            f"{fault:<20} {verdict.injections[fault]:>5} {len(seconds):>8} {_quantiles(seconds)}"
            for fault, seconds in verdict.recoveries.items()
        ),
        "",
        *(f"VIOLATED {violation}" for violation in verdict.violations),
        "every invariant holds" if not verdict.violations else f"{len(verdict.violations)} violations",
    ]
    return "\n".join(lines)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return f"{'–':>7} {'–':>7} {'–':>7}"
    return " ".join(f"{quantile(seconds, share):>7.2f}" for share in (0.5, 0.95, 1.0))


def _row(name: str, *values: object) -> list[str]:
    return [f"{name:<42} {' / '.join(str(value) for value in values)}"]
