"""What the commands of `headrace jobs` do.

Results go to stdout, progress and messages for people to stderr.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, cast

from app.cli.datasets.inputs import ensure_consistent, open_dataset
from app.cli.datasets.options import DatasetOptions
from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.inputs import read_texts
from app.cli.jobs.options import ExportFormat, LogLevel, ServerOptions, Status
from app.cli.jobs.submitted import print_submitted, watch_jobs
from app.cli.jobs.table import print_job, print_jobs, print_log_line, print_profile, print_shards
from app.cli.output import opened, print_json
from app.client import Event
from app.client.options import JobFilters, SubmitOptions

PAGE_SIZE: Final = 100


@client_errors()
def submit(
    server: ServerOptions,
    *,
    texts: Sequence[str],
    file: Path | None,
    source: DatasetOptions,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit texts or a dataset; print the job, and watch it if asked to."""
    if source.is_given and (texts or file):
        raise UsageError("Give texts or a dataset, not both.")
    ensure_consistent(source, file_options)
    rows = None if source.is_given else read_texts(texts, file)
    user = account(server)
    with connect(user) as client:
        dataset = open_dataset(client, source, file_options, is_quiet=as_json)
        job = client.submit(rows, dataset=dataset, **cast("SubmitOptions", options))
    print_submitted(job, dataset, as_json=as_json)
    if watch:
        watch_jobs(user, [job.id], as_json=as_json)


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
        print_jobs(jobs)


@client_errors()
def show(server: ServerOptions, *, job_id: str, as_json: bool) -> None:
    """Print a job."""
    with connect(account(server)) as client:
        job = client.job(job_id)
    if as_json:
        print_json(job.raw)
    else:
        print_job(job)


@client_errors()
def watch(server: ServerOptions, *, job_ids: Sequence[str], as_json: bool) -> None:
    """Show the progress of jobs until all have ended."""
    watch_jobs(account(server), list(dict.fromkeys(job_ids)), as_json=as_json)


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
    server: ServerOptions,
    *,
    job_id: str,
    format: ExportFormat | None,
    include_input: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the results so far to stdout or to a file."""
    if as_json and output is None and format not in (None, "ndjson"):
        raise UsageError(f"--json prints rows as JSON: write {format} to a file with --output.")
    written = 0
    with connect(account(server)) as client, opened(output) as write:
        for piece in client.export(job_id, format or "ndjson", include_input=include_input):
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
        watch_jobs(user, [job.id], after=after, as_json=as_json)


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


@client_errors()
def shards(server: ServerOptions, *, job_id: str, status: Status | None, as_json: bool) -> None:
    """Print the shards of a job."""
    with connect(account(server)) as client:
        found = list(client.shards(job_id, status=status))
    if as_json:
        print_json({"items": [shard.raw for shard in found]})
    else:
        print_shards(found)


@client_errors()
def logs(
    server: ServerOptions,
    *,
    job_id: str,
    attempt: int | None,
    level: LogLevel | None,
    tail: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Print lines of the log of a job, and with `follow` further ones until the job ends."""
    with connect(account(server)) as client:
        for line in client.logs(job_id, attempt=attempt, level=level, tail=tail, follow=follow):
            if as_json:
                print_json(line.raw)
            else:
                print_log_line(line)


@client_errors()
def profile(
    server: ServerOptions,
    *,
    job_id: str,
    attempt: int | None,
    shard: int | None,
    stacks: bool,
    as_json: bool,
) -> None:
    """Print the profile of an attempt: its functions, or all of its stacks."""
    if stacks and as_json:
        raise UsageError("--stacks prints text: leave out --json.")
    with connect(account(server)) as client:
        if stacks:
            print(client.stacks(job_id, attempt=attempt, shard=shard), end="")
            return
        found = client.profile(job_id, attempt=attempt, shard=shard)
    if as_json:
        print_json(found.raw)
    else:
        print_profile(found)


def _seq_before_retry(events: Iterator[Event]) -> int:
    """The number of the last event before the retry: those up to it are history."""
    retried = [event.seq for event in events if event.type == "retried"]
    return retried[-1] - 1 if retried else 0
