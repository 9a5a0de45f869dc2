"""All results of a job, or those that match a filter, in one response: NDJSON, CSV or Parquet."""

from collections.abc import AsyncGenerator
from typing import Final

from starlette.responses import Response

from app.core.resources import Resources
from app.http.compression import CompressibleResponse
from app.http.spooled_response import SpooledResponse
from app.jobs import results
from app.jobs.exports import layout, lines, parquet
from app.jobs.exports.inputs import JobInput
from app.jobs.job import Job
from app.jobs.result_filters import scanning
from app.jobs.result_filters.row_filter import RowFilter
from app.jobs.results import ResultBatch
from app.jobs.snapshots import Snapshot

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"


async def respond(
    resources: Resources,
    job: Job,
    snapshot: Snapshot,
    media_type: str,
    row_filter: RowFilter,
    job_input: JobInput | None = None,
) -> Response:
    """Return the rows of a snapshot that match, in input order, in one of the three media types.

    With `job_input`, each result includes its input row. A filter selects rows, not columns. A later response
    may have more rows, and so another table. With the same ETag the bytes are the same, so that a client
    whose download was cut off can resume it. NDJSON only ever grows and has no ETag.
    """

    def read_outputs() -> AsyncGenerator[ResultBatch, None]:
        return results.read(resources.database, resources.storage, snapshot)

    def read() -> AsyncGenerator[ResultBatch, None]:
        rows = read_outputs() if job_input is None else job_input.attach(read_outputs())
        return rows if row_filter.is_empty else scanning.matching(rows, row_filter)

    headers = {"Vary": "Accept"}
    if media_type == NDJSON:
        return CompressibleResponse(lines.ndjson(read()), media_type=NDJSON, headers=headers)
    with_input = "" if job_input is None else "-input"
    headers["ETag"] = f'"{snapshot.version}{with_input}{row_filter.tag}"'
    input_paths = () if job_input is None else job_input.paths
    columns = await layout.infer(read_outputs(), has_errors=snapshot.errors > 0, input_paths=input_paths)
    name = f"{job.id}{'' if row_filter.is_empty else '-filtered'}"
    if media_type == CSV:
        headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        return CompressibleResponse(lines.csv_rows(read(), columns), media_type=CSV, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{name}.parquet"'
    file = await parquet.spool(read, columns)
    return SpooledResponse(file, media_type=PARQUET, headers=headers)
