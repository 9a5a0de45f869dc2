"""What `headrace predict` does: predicts at once or by a job, and writes the results."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from app.cli.datasets.inputs import ensure_consistent, is_upload, open_dataset
from app.cli.datasets.options import DatasetOptions
from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.inputs import read_texts
from app.cli.jobs.options import ServerOptions
from app.cli.jobs.submitted import watch_jobs
from app.cli.output import opened, print_json
from app.cli.predictions.inputs import parse_rows, upload_texts
from app.cli.predictions.lines import describe
from app.client import Dataset, Headrace
from app.client.options import Format, Instance, SubmitOptions

MAX_AT_ONCE: Final = 100
"""How many rows `POST /predict` takes."""

MAX_INLINE: Final = 1000
"""How many texts a job takes in its request."""

TEXT: Final = "text"
"""The format of `describe`: a line per row."""

_FORMATS: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".jsonl": "ndjson",
    ".ndjson": "ndjson",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Input:
    """What to predict: exactly one of texts, rows with columns, and a dataset."""

    texts: Sequence[str] | None
    rows: Sequence[Instance] | None
    source: DatasetOptions
    file_options: Mapping[str, Any]

    @property
    def fits_at_once(self) -> bool:
        """Whether the rows are at hand, and few."""
        inline = self.rows if self.texts is None else self.texts
        return inline is not None and len(inline) <= MAX_AT_ONCE


@client_errors()
def predict(
    server: ServerOptions,
    *,
    source: DatasetOptions,
    texts: Sequence[str],
    rows: Sequence[str],
    file: Path | None,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    format: str | None,
    output: Path | None,
    delete_dataset: bool,
    as_json: bool,
) -> None:
    """Predict rows, and write the results."""
    if delete_dataset and not is_upload(source):
        raise UsageError(
            "--delete-dataset: only applies to a file that is uploaded. Pass one with --dataset."
        )
    wanted = _input(source, file_options, texts, rows, file)
    output_format = _format(format, output, as_json=as_json)
    user = account(server)
    with connect(user) as client:
        if wanted.fits_at_once and options.keys() <= {"model"}:
            said = client.predict(wanted.texts, instances=wanted.rows, model=options.get("model"))
            _write(client, said.job_id, output_format, output, as_json=as_json)
            return
        dataset = _dataset(client, wanted, is_quiet=as_json)
        is_temporary = isinstance(dataset, Dataset) and (delete_dataset or wanted.texts is not None)
        inline = None if dataset is not None else wanted.texts
        job = client.submit(
            inline, instances=wanted.rows, dataset=dataset, **cast("SubmitOptions", {**options})
        )
        watch_jobs(user, [job.id], as_json=as_json, shows_events=not as_json)
        _write(client, job.id, output_format, output, as_json=as_json)
        if is_temporary and isinstance(dataset, Dataset):
            client.delete_dataset(dataset)


def _input(
    source: DatasetOptions,
    file_options: Mapping[str, Any],
    texts: Sequence[str],
    rows: Sequence[str],
    file: Path | None,
) -> Input:
    """What to predict; texts from stdin if nothing is named. Raises UsageError."""
    ensure_consistent(source, file_options)
    given = [bool(texts), file is not None, bool(rows), source.is_given]
    if given.count(True) > 1:
        raise UsageError("Give texts, --file, --row or a dataset: one of them.")
    if source.is_given:
        return Input(None, None, source, file_options)
    if rows:
        return Input(None, parse_rows(rows), source, file_options)
    return Input(read_texts(texts, file), None, source, file_options)


def _dataset(client: Headrace, wanted: Input, *, is_quiet: bool) -> Dataset | UUID | str | None:
    """The dataset to predict; more texts than a job takes become one."""
    if wanted.texts is not None and len(wanted.texts) > MAX_INLINE:
        return upload_texts(client, wanted.texts)
    return open_dataset(client, wanted.source, wanted.file_options, is_quiet=is_quiet)


def _format(format: str | None, output: Path | None, *, as_json: bool) -> str:
    """The format to write: the one that is given, or that of the file's name. Raises UsageError."""
    if output is None:
        if as_json and format not in (None, "ndjson"):
            raise UsageError(f"--json prints rows as JSON: write {format} to a file with --output.")
        return format or ("ndjson" if as_json else TEXT)
    found = format or _FORMATS.get(output.suffix.lower())
    if found is None:
        raise UsageError(f"--output: {output.name} does not end in {', '.join(_FORMATS)}; pass --format.")
    return found


def _write(client: Headrace, job_id: str, format: str, output: Path | None, *, as_json: bool) -> None:
    """Write the results of a job, and say what is wrong with them."""
    written = 0
    with opened(output) as write:
        for piece in _pieces(client, job_id, format):
            write(piece)
            written += len(piece)
    job = client.job(job_id)
    errors = job.raw.get("errors") or 0
    if as_json and output is not None:
        facts = {"job_id": job_id, "model": job.model, "rows": job.done, "errors": errors}
        print_json({**facts, "format": format, "output": str(output), "bytes": written})
    if as_json:
        return
    if errors:
        print(f"{errors} of {job.done} rows have an error instead of a prediction.", file=sys.stderr)


def _pieces(client: Headrace, job_id: str, format: str) -> Iterator[bytes]:
    """The results as bytes."""
    if format != TEXT:
        return client.export(job_id, cast("Format", format))
    return (f"{describe(row)}\n".encode() for row in client.results(job_id))
