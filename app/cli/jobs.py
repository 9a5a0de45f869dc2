"""`python -m app jobs`: the client, from the command line.

What a program may want to read goes to stdout, what a person may want to know to stderr.
"""

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn, cast
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.errors import CannotStart
from app.cli.watching import COLOURS, PATIENCE, Watching
from app.client import Dataset, Headrace, HeadraceError, Job, MissingCredentials, transport
from app.client.options import JobFilters, SubmitOptions, TrainOptions, UploadOptions

WRONG_USAGE: Final = 2
PAGE_SIZE: Final = 100
_SHOWN: Final = {
    "delimiter": "--delimiter",
    "encoding": "--encoding",
    "null_values": "--null-value",
    "columns": "--column-type",
}
ID_WIDTH: Final = 36


def run(action: str, arguments: argparse.Namespace) -> None:
    """Do what was asked for. Raises CannotStart with one line, or SystemExit with the exit code."""
    try:
        _ACTIONS[action](arguments)
    except (MissingCredentials, ValueError) as error:
        _refuse(str(error))
    except HeadraceError as error:
        raise CannotStart(str(error)) from error
    except BrokenPipeError:
        # Whoever read it has had enough. Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _submit(arguments: argparse.Namespace) -> None:
    """Queue texts or a dataset; print the job's id. With `--watch`, stay until it has ended."""
    if arguments.dataset is not None and (arguments.texts or arguments.file):
        _refuse("Give texts or a dataset, not both.")
    _ensure_file(arguments, UploadOptions.__annotations__)
    texts = _texts(arguments) if arguments.dataset is None else None
    options = cast("SubmitOptions", _options(arguments, SubmitOptions))
    with _client(arguments) as client:
        dataset = None if arguments.dataset is None else _dataset(client, arguments)
        job = client.submit(texts, dataset=dataset, **options)
    print(job.id, flush=True)
    if arguments.watch:
        _watch_all(arguments, [job.id])


def _train(arguments: argparse.Namespace) -> None:
    """Queue a training; print the job's id. With `--watch`, stay until it has ended."""
    _ensure_file(arguments, ("delimiter", "encoding", "null_values"))
    options = cast("TrainOptions", _options(arguments, TrainOptions))
    with _client(arguments) as client:
        job = client.train(arguments.target, dataset=_dataset(client, arguments), **options)
    print(job.id, flush=True)
    if arguments.watch:
        _watch_all(arguments, [job.id])


def _options(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """What the arguments say of these options."""
    return {name: getattr(arguments, name) for name in kind.__annotations__}


def _ensure_file(arguments: argparse.Namespace, names: Iterable[str]) -> None:
    """Refuse options that say how a file is read if there is no file to upload."""
    is_file = arguments.dataset is not None and _dataset_id(arguments.dataset) is None
    said = [name for name in names if getattr(arguments, name) is not None]
    if said and not is_file:
        shown = ", ".join(_SHOWN[name] for name in said)
        _refuse(f"{shown}: that is how a file is read. Give the file with --dataset.")


def _dataset_id(said: str | None) -> UUID | None:
    """The id that is meant, if it is one."""
    with suppress(ValueError):
        return None if said is None else UUID(said)
    return None


def _dataset(client: Headrace, arguments: argparse.Namespace) -> Dataset | UUID:
    """A dataset by its id, or a new one from a file."""
    said = arguments.dataset
    if (dataset_id := _dataset_id(said)) is not None:
        return dataset_id
    options = cast("UploadOptions", _options(arguments, UploadOptions))
    try:
        dataset = client.upload(said, **options)
    except OSError as error:
        raise CannotStart(f"cannot read {said}: {error.strerror}") from error
    print(f"dataset {dataset.id}: {dataset.rows} rows", file=sys.stderr)
    return dataset


def _list(arguments: argparse.Namespace) -> None:
    """Print jobs, newest first, as a table or one JSON object a line."""
    filters = {name: getattr(arguments, name) for name in ("status", "kind", "queue", "model", "metadata")}
    with _client(arguments) as client:
        found = client.jobs(page_size=min(arguments.limit, PAGE_SIZE), **cast("JobFilters", filters))
        jobs = list(islice(found, arguments.limit))
    if arguments.format == "ndjson":
        for job in jobs:
            print(json.dumps(job.raw, ensure_ascii=False))
        return
    _print_table(jobs)


def _watch(arguments: argparse.Namespace) -> None:
    """Draw the progress of jobs until they have ended; exit code 1 if one of them is not completed."""
    _watch_all(arguments, list(dict.fromkeys(arguments.job_ids)))


def _cancel(arguments: argparse.Namespace) -> None:
    """Stop jobs, and say of each whether it has stopped."""
    with _client(arguments) as client:
        for job_id in arguments.job_ids:
            job = client.cancel(job_id)
            print(f"{job.id} {'cancelled' if job.status == 'cancelled' else 'cancel requested'}", flush=True)


def _results(arguments: argparse.Namespace) -> None:
    """Write what is computed so far to stdout or to a file."""
    with _client(arguments) as client, _output(arguments.output) as write:
        for piece in client.export(arguments.job_id, arguments.format):
            write(piece)


def _retry(arguments: argparse.Namespace) -> None:
    """Have a failed or cancelled job tried again."""
    with _client(arguments) as client:
        job = client.retry(arguments.job_id, from_start=arguments.from_start)
    print(f"{job.id} {job.status}", flush=True)
    if arguments.watch:
        _watch_all(arguments, [job.id], after=_last_start(arguments, job.id))


def _explain(arguments: argparse.Namespace) -> None:
    """Say why a job is where it is."""
    with _client(arguments) as client:
        explanation = client.explain(arguments.job_id)
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


def _refuse(sentence: str) -> NoReturn:
    print(f"headrace: {sentence}", file=sys.stderr)
    raise SystemExit(WRONG_USAGE)


def _account(arguments: argparse.Namespace) -> dict[str, Any]:
    given = transport.Account(
        url=arguments.url, username=arguments.username, password=arguments.password, token=arguments.token
    )
    try:
        return transport.account(given)
    except MissingCredentials:
        username = arguments.username or os.environ.get("HEADRACE_USERNAME")
        if not (username and sys.stdin.isatty()):
            raise
        given["password"] = arguments.password = getpass.getpass(f"Password for {username}: ")
        return transport.account(given)


def _client(arguments: argparse.Namespace) -> Headrace:
    return Headrace(**_account(arguments), retry_config=PATIENCE)


def _texts(arguments: argparse.Namespace) -> list[str]:
    if arguments.texts and arguments.file:
        _refuse("Give texts or a file of texts, not both.")
    if arguments.texts:
        return list(arguments.texts)
    if arguments.file is None and sys.stdin.isatty():
        _refuse("No texts: give some as arguments, by --file, or on stdin.")
    try:
        if arguments.file is None or str(arguments.file) == "-":
            text = sys.stdin.buffer.read().decode()
        else:
            text = arguments.file.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotStart(f"cannot read {arguments.file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CannotStart("the texts are not UTF-8") from None
    # Not splitlines(), which also cuts where a text has U+2028 or a form feed: a line is a text.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if not lines:
        _refuse("No texts: there is nothing in it.")
    return lines


@contextmanager
def _output(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    if path is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise CannotStart(f"cannot write {path}: {error.strerror}") from error
    with file:
        yield file.write


def _print_table(jobs: Sequence[Job]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True, min_width=ID_WIDTH)
    for column in ("status", "progress", "kind", "priority", "queue", "created"):
        table.add_column(column, no_wrap=True, justify="right" if column == "progress" else "left")
    for job in jobs:
        colour = COLOURS.get(job.status, "default")
        created = "" if job.created_at is None else f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(
            job.id,
            f"[{colour}]{escape(job.status)}[/]",
            f"{job.progress:.0f} %",
            escape(job.kind),
            job.priority or "",
            escape(job.queue or ""),
            created,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # for a program that reads it: nothing is cut short
    console.print(table)


def _last_start(arguments: argparse.Namespace, job_id: str) -> int:
    """The number of the event before which the present try at a job began: what was before is history."""
    with _client(arguments) as client:
        retried = [event.seq for event in client.events(job_id) if event.type == "retried"]
    return retried[-1] - 1 if retried else 0


def _watch_all(arguments: argparse.Namespace, job_ids: Sequence[str], *, after: int = 0) -> None:
    try:
        outcomes = asyncio.run(Watching(_account(arguments), after).run(job_ids))
    except KeyboardInterrupt:
        goes_on = "The job goes on" if len(job_ids) == 1 else "The jobs go on"
        again = f"python -m app jobs watch {' '.join(job_ids)}"
        print(f"headrace: stopped watching. {goes_on}; to watch again: {again}", file=sys.stderr)
        raise SystemExit(1) from None
    for job_id in job_ids:
        outcome = outcomes[job_id]
        if isinstance(outcome, HeadraceError):
            print(f"headrace: {outcome}", file=sys.stderr)
        elif outcome.error is not None:
            print(f"headrace: job {job_id} {outcome.status}: {outcome.error.message}", file=sys.stderr)
        elif outcome.status != "completed":
            print(f"headrace: job {job_id} {outcome.status}", file=sys.stderr)
    if any(isinstance(end, HeadraceError) or end.status != "completed" for end in outcomes.values()):
        raise SystemExit(1)


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "submit": _submit,
    "train": _train,
    "list": _list,
    "watch": _watch,
    "cancel": _cancel,
    "results": _results,
    "retry": _retry,
    "explain": _explain,
}
