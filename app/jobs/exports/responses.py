"""All results of a job in one response: NDJSON, CSV or Parquet."""

from collections.abc import AsyncGenerator
from typing import Final

from starlette.responses import Response, StreamingResponse

from app.core.resources import Resources
from app.http.spooled_response import SpooledResponse
from app.jobs import results
from app.jobs.exports import layout, lines, parquet
from app.jobs.exports.inputs import JobInput
from app.jobs.job import Job
from app.jobs.results import ResultBatch

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"


async def respond(
    resources: Resources, job: Job, media_type: str, job_input: JobInput | None = None
) -> Response:
    """Return all rows that a job had when it was read, in input order, in one of the three media types.

    With `job_input`, each result includes its input row. A later response may have more rows, and so another
    table. With the same ETag the bytes are the same, so that a client whose download was cut off can resume
    it. NDJSON only ever grows and has no ETag.
    """

    def read_outputs() -> AsyncGenerator[ResultBatch, None]:
        return results.read(resources.database, resources.storage, job.id, before_index=job.next_batch)

    def read() -> AsyncGenerator[ResultBatch, None]:
        return read_outputs() if job_input is None else job_input.attach(read_outputs())

    headers = {"Vary": "Accept"}
    if media_type == NDJSON:
        return StreamingResponse(lines.ndjson(read()), media_type=NDJSON, headers=headers)
    with_input = "" if job_input is None else "-input"
    headers["ETag"] = f'"{job.next_batch}-{job.done}-{job.errors}{with_input}"'
    columns = await layout.infer(
        read_outputs(), has_errors=job.errors > 0, input_paths=() if job_input is None else job_input.paths
    )
    if media_type == CSV:
        headers["Content-Disposition"] = f'attachment; filename="{job.id}.csv"'
        return StreamingResponse(lines.csv_rows(read(), columns), media_type=CSV, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{job.id}.parquet"'
    file = await parquet.spool(read, columns)
    return SpooledResponse(file, media_type=PARQUET, headers=headers)
