"""Prints jobs and profiles: many jobs as a table, one with its result."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from app.cli.tables import local, print_table
from app.client import Job, LogLine, Profile, Shard

COLOURS: Final = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
_ID_WIDTH: Final = 36


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print one row per job to stdout."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True, min_width=_ID_WIDTH)
    for column in ("status", "progress", "kind", "priority", "queue", "created"):
        table.add_column(column, no_wrap=True, justify="right" if column == "progress" else "left")
    for job in jobs:
        colour = COLOURS.get(job.status, "default")
        table.add_row(
            job.id,
            Text(job.status, style=colour),
            f"{job.progress:.0f} %" if job.shards is None else f"{job.step or ''} {job.progress:.0f} %",
            job.kind,
            job.priority or "",
            job.queue or "",
            local(job.created_at),
        )
    print_table(table)


def print_shards(shards: Sequence[Shard]) -> None:
    """Print one row per shard to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("shard", "rows", "done", "attempt"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("status", "worker", "error"):
        table.add_column(column, no_wrap=column != "error")
    for shard in shards:
        table.add_row(
            str(shard.number),
            f"{shard.first_row}-{shard.first_row + shard.rows - 1}",
            f"{100 * shard.done / shard.rows:.0f} %",
            str(shard.attempt),
            Text(shard.status, style=COLOURS.get(shard.status, "default")),
            shard.worker or "",
            "" if shard.error is None else f"{shard.error.message} ({shard.error.code})",
        )
    print_table(table)


def print_profile(profile: Profile) -> None:
    """Print a summary and one row per function to stdout."""
    attempt = (
        f"Attempt {profile.attempt}"
        if profile.shard is None
        else f"Shard {profile.shard}, attempt {profile.attempt}"
    )
    print(f"{attempt}: {profile.seconds:.2f} s, {profile.samples} samples")
    if not profile.top:
        print("It ended before the first sample was taken.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("self", "total"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("function", "where"):
        table.add_column(column, no_wrap=True)
    for spent in profile.top:
        where = f"{spent.file}:{spent.line}" if spent.file else ""
        table.add_row(f"{spent.self_seconds:.2f} s", f"{spent.total_seconds:.2f} s", spent.function, where)
    print_table(table)


def print_log_line(line: LogLine) -> None:
    """Print a line of a log at once. Further lines of its text are indented."""
    text = line.text.replace("\n", "\n    ")
    shard = "" if line.shard is None else f"{line.shard}  "
    print(f"{local(line.at)}  {shard}{line.attempt}  {line.level:<7}  {text}", flush=True)


def print_job(job: Job) -> None:
    """Print what is known of a job, one fact per line: of its result, what fits on a line."""
    facts = {
        "kind": job.kind,
        "status": job.status,
        "progress": f"{job.progress:.0f} %, {job.done}{'' if job.total is None else f' of {job.total}'}",
        "shards": None if job.shards is None else job.step or str(job.shards),
        "shard of": job.parent_id,
        "model": job.model,
        "dataset": job.dataset_id,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": f"{job.attempt} of {job.max_attempts}" if job.attempt else None,
        "metadata": ", ".join(f"{key}={value}" for key, value in job.metadata.items()),
        "created": local(job.created_at),
        "started": local(job.started_at),
        "ended": local(job.completed_at),
        "error": None if job.error is None else f"{job.error.message} ({job.error.code})",
    }
    print(job.id)
    for name, fact in facts.items():
        if fact:
            print(f"  {name}: {fact}")
    _print_result(job.result or {})
    for warning in job.warnings:
        print(f"warning: {warning}")


def _print_result(result: Mapping[str, Any]) -> None:
    simple = {name: value for name, value in result.items() if isinstance(value, str | int | float)}
    metrics = result.get("metrics")
    if simple:
        print("result")
        for name, value in simple.items():
            print(f"  {name}: {_shown(value)}")
    if isinstance(metrics, Mapping):
        print("metrics")
        for name, value in metrics.items():
            if isinstance(value, int | float):
                print(f"  {name}: {_shown(value)}")


def _shown(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
