"""What the commands of `headrace jobs` do.

Results go to stdout, progress and messages for people to stderr.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, cast
from uuid import UUID

from app.cli.errors import CommandFailed, ExitCode, Interrupted, UsageError
from app.cli.jobs.connection import account, client_errors, code_of, connect
from app.cli.jobs.displays import JsonDisplay, ProgressDisplay
from app.cli.jobs.inputs import ensure_upload, open_dataset, read_texts
from app.cli.jobs.options import ExportFormat, ServerOptions
from app.cli.jobs.table import print_table
from app.cli.jobs.watching import watch as watch_events
from app.cli.output import print_error, print_json
from app.client import Dataset, Event, HeadraceError, Submitted
from app.client.options import JobFilters, SubmitOptions, TrainOptions

PAGE_SIZE: Final = 100


@client_errors()
def submit(
    server: ServerOptions,
    *,
    texts: Sequence[str],
    file: Path | None,
    dataset: str | None,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit texts or a dataset; print the job, and watch it if asked to."""
    if dataset is not None and (texts or file):
        raise UsageError("Give texts or a dataset, not both.")
    ensure_upload(dataset, file_options)
    rows = read_texts(texts, file) if dataset is None else None
    user = account(server)
    with connect(user) as client:
        source = None if dataset is None else open_dataset(client, dataset, file_options, is_quiet=as_json)
        job = client.submit(rows, dataset=source, **cast("SubmitOptions", options))
    _print_submitted(job, source, as_json=as_json)
    if watch:
        _watch(user, [job.id], as_json=as_json)


@client_errors()
def train(
    server: ServerOptions,
    *,
    dataset: str,
    target: str,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit a training; print the job, and watch it if asked to."""
    columns = {name: value for name, value in file_options.items() if name == "columns"}
    # Column types also apply to a training on an existing dataset.
    ensure_upload(dataset, {name: value for name, value in file_options.items() if name not in columns})
    user = account(server)
    with connect(user) as client:
        source = open_dataset(client, dataset, file_options, is_quiet=as_json)
        job = client.train(target, dataset=source, **cast("TrainOptions", {**options, **columns}))
    _print_submitted(job, source, as_json=as_json)
    if watch:
        _watch(user, [job.id], as_json=as_json)


@client_errors()
def list_jobs(
    server: ServerOptions,
    *,
    filters: Mapping[str, Any],
    limit: int,
    format: Literal["table", "ndjson"],
    as_json: bool,
) -> None:
    """Print jobs, newest first."""
    with connect(account(server)) as client:
        found = client.jobs(page_size=min(limit, PAGE_SIZE), **cast("JobFilters", filters))
        jobs = list(islice(found, limit))
    if as_json:
        print_json({"items": [job.raw for job in jobs]})
    elif format == "ndjson":
        for job in jobs:
            print_json(job.raw)
    else:
        print_table(jobs)


@client_errors()
def watch(server: ServerOptions, *, job_ids: Sequence[str], as_json: bool) -> None:
    """Show the progress of jobs until all have ended."""
    _watch(account(server), list(dict.fromkeys(job_ids)), as_json=as_json)


@client_errors()
def cancel(server: ServerOptions, *, job_ids: Sequence[str], as_json: bool) -> None:
    """Cancel jobs, and print the state of each."""
    with connect(account(server)) as client:
        for job_id in job_ids:
            job = client.cancel(job_id)
            if as_json:
                print_json(job.raw)
            else:
                state = "cancelled" if job.status == "cancelled" else "cancel requested"
                print(f"{job.id} {state}", flush=True)


@client_errors()
def results(
    server: ServerOptions, *, job_id: str, format: ExportFormat | None, output: Path | None, as_json: bool
) -> None:
    """Write the results so far to stdout or to a file."""
    if as_json and output is None and format not in (None, "ndjson"):
        raise UsageError(f"--json prints rows as JSON: write {format} to a file with --output.")
    written = 0
    with connect(account(server)) as client, _output(output) as write:
        for piece in client.export(job_id, format or "ndjson"):
            write(piece)
            written += len(piece)
    if as_json and output is not None:
        print_json({"job_id": job_id, "format": format or "ndjson", "output": str(output), "bytes": written})


@client_errors()
def retry(server: ServerOptions, *, job_id: str, from_start: bool, watch: bool, as_json: bool) -> None:
    """Retry a job; print it, and watch it if asked to."""
    user = account(server)
    with connect(user) as client:
        job = client.retry(job_id, from_start=from_start)
        if as_json:
            print_json(job.raw)
        else:
            print(f"{job.id} {job.status}", flush=True)
        after = _seq_before_retry(client.events(job.id)) if watch else 0
    if watch:
        _watch(user, [job.id], after=after, as_json=as_json)


@client_errors()
def explain(server: ServerOptions, *, job_id: str, as_json: bool) -> None:
    """Print why a job waits, runs or has ended."""
    with connect(account(server)) as client:
        explanation = client.explain(job_id)
    if as_json:
        print_json(explanation.raw)
        return
    print(explanation.sentence)
    facts = {
        "code": explanation.code,
        "status": explanation.status,
        "queue": explanation.queue,
        "position": explanation.position,
        "jobs of mine ahead": explanation.jobs_of_mine_ahead,
        "estimated start": explanation.estimated_start_at,
        "estimated completion": explanation.estimated_completion,
    }
    for name, fact in facts.items():
        if fact is not None:
            print(f"  {name}: {fact}")


def _print_submitted(job: Submitted, source: Dataset | UUID | None, *, as_json: bool) -> None:
    if not as_json:
        print(job.id, flush=True)
    elif source is None:
        print_json(job.raw)
    else:
        dataset_id = source.id if isinstance(source, Dataset) else str(source)
        print_json({**job.raw, "dataset_id": dataset_id})


@contextmanager
def _output(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    if path is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}", code="file_not_writable") from error
    with file:
        yield file.write


def _seq_before_retry(events: Iterator[Event]) -> int:
    """The number of the last event before the retry: those up to it are history."""
    retried = [event.seq for event in events if event.type == "retried"]
    return retried[-1] - 1 if retried else 0


def _watch(user: dict[str, Any], job_ids: Sequence[str], *, as_json: bool, after: int = 0) -> None:
    try:
        if as_json:
            ends = asyncio.run(watch_events(user, job_ids, JsonDisplay(), after=after))
        else:
            with ProgressDisplay() as display:
                ends = asyncio.run(watch_events(user, job_ids, display, after=after))
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
