"""Prints the jobs that a command has created, and watches them until they end."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.cli.errors import ExitCode, Interrupted
from app.cli.jobs.connection import code_of
from app.cli.jobs.displays import JsonDisplay, ProgressDisplay, SilentDisplay
from app.cli.jobs.watching import watch
from app.cli.output import print_error, print_json
from app.client import Dataset, Event, HeadraceError, Submitted


def print_submitted(job: Submitted, source: Dataset | UUID | str | None, *, as_json: bool) -> None:
    """Print the id of a job, or with --json the job and its dataset."""
    if not as_json:
        print(job.id, flush=True)
        return
    match source:
        case None:
            print_json(job.raw)
        case str():
            print_json({**job.raw, "dataset": source})
        case Dataset() | UUID():
            dataset_id = source.id if isinstance(source, Dataset) else str(source)
            print_json({**job.raw, "dataset_id": dataset_id})


def watch_jobs(
    user: dict[str, Any],
    job_ids: Sequence[str],
    *,
    as_json: bool,
    after: int = 0,
    shows_events: bool = True,
) -> None:
    """Show the events of jobs until all have ended. Exits with 1 if one did not complete."""
    try:
        if as_json or not shows_events:
            quiet = JsonDisplay() if shows_events else SilentDisplay()
            ends = asyncio.run(watch(user, job_ids, quiet, after=after))
        else:
            with ProgressDisplay() as display:
                ends = asyncio.run(watch(user, job_ids, display, after=after))
    except KeyboardInterrupt:
        continues = "The job continues" if len(job_ids) == 1 else "The jobs continue"
        again = f"headrace jobs watch {' '.join(job_ids)}"
        detail = f"Stopped watching. {continues}; to watch again: {again}"
        raise Interrupted(detail, facts={"job_ids": list(job_ids)}) from None
    for job_id in job_ids:
        _print_failure(job_id, ends[job_id], as_json=as_json)
    if any(isinstance(end, HeadraceError) or end.status != "completed" for end in ends.values()):
        raise SystemExit(ExitCode.FAILURE)


def _print_failure(job_id: str, end: Event | HeadraceError, *, as_json: bool) -> None:
    if isinstance(end, HeadraceError):
        print_error(str(end), code=code_of(end), as_json=as_json, facts={**end.facts, "job_id": job_id})
    elif end.status != "completed":
        reason = "" if end.error is None else f": {end.error.message}"
        facts = {"job_id": job_id, "status": end.status, "error": end.raw.get("error")}
        print_error(
            f"job {job_id} {end.status}{reason}", code=f"job_{end.status}", as_json=as_json, facts=facts
        )
