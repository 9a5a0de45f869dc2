"""Waits for the end of a job, over any number of requests."""

from time import monotonic
from typing import Final
from urllib.parse import quote

from app.client.errors import WaitTimeout
from app.client.exchange import Exchange
from app.client.steps import Flow, Pause, Request
from app.client.values import AnyJob, Job, job_id

HOLD_SECONDS: Final = 20.0
"""How long `wait` asks the server to hold a response while the job runs; the server's limit is 60."""

NEVER: Final = float("inf")


def job_path(job: AnyJob) -> str:
    """The path of a job."""
    return f"/jobs/{quote(job_id(job), safe='')}"


def wait(exchange: Exchange, job: AnyJob, timeout: float | None) -> Flow[Job]:
    """Return the job once it has ended. Raises WaitTimeout."""
    retry_config = exchange.retry_config
    deadline = NEVER if timeout is None else monotonic() + timeout
    while True:
        asked_at = monotonic()
        left = max(0.0, deadline - asked_at)
        hold = min(HOLD_SECONDS, left)
        latest = yield from exchange.read(
            Job.parse,
            Request(
                "GET",
                job_path(job),
                params={"wait": f"{hold:.3f}"},
                read_seconds=hold + retry_config.request_seconds,
            ),
            exchange.retry_state(min(left, retry_config.away_seconds)),
        )
        if latest.is_final:
            return latest
        now = monotonic()
        if now >= deadline:
            raise WaitTimeout(latest)
        if now - asked_at < hold / 2:
            # An early response: the server is stopping, and its successor may not be up yet.
            yield Pause(min(retry_config.first_pause_seconds, deadline - now))
