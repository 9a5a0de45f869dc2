"""Writes the files of the new datasets: the rows that jobs read, and the file that users download."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from app.datasets import reading
from app.datasets.conversion import columns
from app.datasets.conversion.row_groups import RowGroups
from worker.context import JobContext, JobError
from worker.preprocessing.spool import Spool


class NoRowsLeft(JobError):
    """An output has no rows; never retried."""

    def __init__(self, output: str) -> None:
        message = f"the steps leave no rows for {output!r}: a dataset has at least one"
        super().__init__("no_rows_left", message, is_retryable=False)


def publish(job: JobContext, name: str, spool: Spool) -> dict[str, Any]:
    """Hand over the files of one output. Returns its number of rows and its columns. Raises NoRowsLeft."""
    first = next(spool.tables(), None)
    if first is None:
        raise NoRowsLeft(name)
    rows, content = job.scratch / f"{name}.rows", job.scratch / f"{name}.content"
    count = _write(spool, first.schema, rows, content)
    job.artifact(f"datasets/{name}/rows.parquet", rows)
    job.artifact(f"datasets/{name}/content", content)
    described = columns.describe(first.schema)
    return {"output": name, "rows": count, "columns": msgspec.to_builtins(described)}


def _write(spool: Spool, schema: pa.Schema, rows: Path, content: Path) -> int:
    shown = reading.in_shown_types(schema.empty_table()).schema
    with RowGroups(rows, schema) as row_groups, RowGroups(content, shown) as content_groups:
        for table in spool.tables():
            for batch in table.to_batches():
                row_groups.add(batch)
            for batch in reading.in_shown_types(table).cast(shown).to_batches():
                content_groups.add(batch)
    return row_groups.rows
