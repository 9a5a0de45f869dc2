"""Runs the steps over rows in a child, as a worker does, and reads the datasets that it hands over."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.core import ids
from app.datasets.conversion.task import convert
from app.datasets.options import ReadOptions
from app.datasets.reading import RowReader
from app.datasets.values import Format
from app.jobs.kinds.preprocess_dataset import PreprocessDatasetRequest
from app.jobs.params import PreprocessDatasetParams, PreprocessSource
from app.jobs.preprocessing import bodies, checking, steps
from app.jobs.preprocessing.bodies import JoinBody
from app.jobs.preprocessing.steps import AnyStep
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.handlers.datasets import as_file
from worker.children.messages import Batch, Done, Start
from worker.children.pool import ChildPool
from worker.context import CHECKPOINT_FILE

Rows = list[dict[str, Any]]


def stored(folder: Path, rows: Rows | pa.Table, name: str = "rows") -> Path:
    """Store rows as an upload of them is stored."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    upload = folder / f"{name}.upload"
    pq.write_table(table, upload)
    path = folder / f"{name}.parquet"
    convert(upload, path, Format.PARQUET, ReadOptions())
    return path


def stored_csv(folder: Path, text: str, name: str = "rows") -> Path:
    """Store the text of a CSV file as an upload of it is stored."""
    upload = folder / f"{name}.csv"
    upload.write_text(text)
    path = folder / f"{name}.parquet"
    convert(upload, path, Format.CSV, ReadOptions())
    return path


def plain(requested: Sequence[Mapping[str, Any]]) -> tuple[AnyStep, ...]:
    """The steps of a request as the handler reads them; joins refer to any dataset."""
    body = PreprocessDatasetRequest.model_validate({"dataset": "rows", "steps": list(requested)})
    found: list[AnyStep] = []
    for step in body.steps:
        values = bodies.plain(step)
        if isinstance(step, JoinBody):
            values = {**values, "dataset_id": uuid4(), "on": step.keys}
        found.append(msgspec.convert(values, AnyStep))
    return tuple(found)


def types(path: Path) -> dict[str, str]:
    """The types of the columns of stored rows."""
    with RowReader(path) as reader:
        return {column.name: column.type for column in reader.columns}


def start(
    scratch: Path, source: Path, requested: Sequence[Mapping[str, Any]], joined: Sequence[Path] = ()
) -> Start:
    """The first attempt at a job that was checked as the API checks it."""
    found = plain(requested)
    checking.check(found, types(source), list(map(types, joined)))
    others = iter(joined)
    files = {
        steps.join_file(index): next(others)
        for index, step in enumerate(found)
        if isinstance(step, steps.Join)
    }
    params = PreprocessDatasetParams("new", PreprocessSource(ids.new_id(), "00"), found)
    rows = pq.read_metadata(source).num_rows
    return msgspec.structs.replace(
        attempts.start("preprocess_dataset", params=msgspec.to_builtins(params)),
        payload=None,
        total=steps.passes(found) * steps.units(rows),
        files={name: as_file(path) for name, path in {"dataset": source, **files}.items()},
        scratch=str(scratch),
    )


def resumed(message: Start, scratch: Path, committed: Sequence[Batch], earlier: Path) -> Start:
    """An attempt after one in the scratch folder `earlier` that had committed these batches."""
    last = next((batch for batch in reversed(committed) if batch.checkpoint or batch.checkpoint_file), None)
    files = dict(message.files)
    if last is not None and last.checkpoint_file is not None:
        files[CHECKPOINT_FILE] = as_file(earlier / last.checkpoint_file)
    return msgspec.structs.replace(
        message,
        attempt=2,
        resume_batch=len(committed),
        done=len(committed),
        checkpoint=None if last is None else last.checkpoint,
        files=files,
        scratch=str(scratch),
    )


async def run(children: ChildPool, message: Start) -> Attempt:
    """Run an attempt to its end."""
    async with attempts.take_for(children, message) as child:
        return await attempts.run(child, message)


def files(attempt: Attempt, scratch: Path) -> dict[str, Path]:
    """The files that a finished attempt hands over, by the names of their artifacts."""
    assert isinstance(attempt.end, Done), attempt.end
    return {name: scratch / local for name, local in attempt.end.artifacts.items()}


def digests(attempt: Attempt, scratch: Path) -> dict[str, str]:
    """The SHA-256 of each of these files."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files(attempt, scratch).items()
    }


def output(attempt: Attempt, scratch: Path, name: str = "all") -> Rows:
    """All rows of one of the datasets that an attempt hands over, as JSON values."""
    with RowReader(files(attempt, scratch)[f"datasets/{name}/rows.parquet"]) as reader:
        return reader.rows(0, len(reader))
