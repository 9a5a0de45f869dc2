"""The route of results: page by page as JSON, or all of them in one file."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from app.auth.download_tickets.deps import JobsDownloader
from app.core import paging
from app.core.errors import FileMissing, InvalidCursor, StorageUnavailable
from app.core.resources import Resources
from app.http import problems
from app.http.accept import choose
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import results, service, snapshots, views
from app.jobs.deps import KindsDep
from app.jobs.errors import (
    CursorAndFirstRow,
    DatasetDeleted,
    JobNotFound,
    NoInputRows,
    NotAcceptable,
    NotYourJob,
    ResultsExpired,
)
from app.jobs.exports import inputs, responses
from app.jobs.exports.inputs import JobInput
from app.jobs.exports.responses import CSV, NDJSON, PARQUET
from app.jobs.job import Job
from app.jobs.result_filters import scanning
from app.jobs.result_filters.deps import RowFilterDep
from app.jobs.result_filters.row_filter import RowFilter
from app.jobs.results import ResultBatch
from app.jobs.schemas import IncludeInResults, ResultPage
from app.jobs.snapshots import Position, Snapshot

JSON: Final = "application/json"
_MEDIA_TYPES: Final = (JSON, NDJSON, CSV, PARQUET)
# Numbers of at most nine digits fit into the column. The first one is of a shard, if the job has shards.
_POSITION: Final = re.compile(r"(?:([0-9]{1,4})\.)?([0-9]{1,9})\.([0-9]{1,9})")
# The cursor of a row that is not stored yet.
_ROW: Final = re.compile(r"r([0-9]{1,15})")
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


class ResultFormat(StrEnum):
    """How results are written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


_BY_FORMAT: Final = dict(zip(ResultFormat, _MEDIA_TYPES, strict=True))

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/results",
    operation_id="getJobResults",
    summary="Get the results, in input order",
    response_model=ResultPage,
    responses={
        200: {"content": {NDJSON: {}, CSV: {}, PARQUET: {}}},
        **problems.responses(
            JobNotFound(job_id=_EXAMPLE_ID),
            NotYourJob(job_id=_EXAMPLE_ID),
            InvalidCursor,
            CursorAndFirstRow,
            ResultsExpired(job_id=_EXAMPLE_ID),
            NotAcceptable(offered=list(_MEDIA_TYPES)),
            NoInputRows(kind="train_model"),
            DatasetDeleted(job_id=_EXAMPLE_ID),
            FileMissing(key=f"datasets/{_EXAMPLE_ID}/rows.parquet"),
            StorageUnavailable,
        ),
    },
)
async def get_job_results(
    job_id: UUID,
    user: JobsDownloader,
    resources: ResourcesDep,
    kinds: KindsDep,
    row_filter: RowFilterDep,
    accept: Annotated[
        str,
        Header(
            description=f"`{NDJSON}`, `{CSV}` and `{PARQUET}` return all results that match in one response."
        ),
    ] = "",
    result_format: Annotated[
        ResultFormat | None, Query(alias="format", description="Takes the place of `Accept`.")
    ] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    first_row: Annotated[
        int | None, Query(ge=0, lt=10**15, description="Number of the first row, in place of `cursor`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    include: Annotated[
        IncludeInResults | None,
        Query(description="`input` adds the input row to each result, with its columns as written."),
    ] = None,
) -> Response:
    """Get the results computed so far, also while the job runs and after it has failed or was cancelled.

    Those of a job with shards come in input order, too: while it runs, up to the first row that is missing.
    Of one that has failed or was cancelled, rows may be missing between others; each has its `index`.

    With `label`, `below` or `errors`, a request for JSON searches at most 100 000 rows: a page may be empty
    though later rows match. `scanned_through` says how many rows have been searched; go on with `next_cursor`
    and the same filters until it is null. A file has all rows that match. NDJSON and CSV are compressed with
    zstd or gzip if `Accept-Encoding` has one.
    """
    if cursor is not None and first_row is not None:
        raise CursorAndFirstRow
    async with resources.database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
        source = await service.with_input(connection, job)
    if job.is_pruned:
        raise ResultsExpired(job_id=str(job_id))
    wanted = choose(accept, _MEDIA_TYPES) if result_format is None else _BY_FORMAT[result_format]
    if wanted is None:
        raise NotAcceptable(offered=list(_MEDIA_TYPES))
    job_input: JobInput | None = None
    if include is IncludeInResults.INPUT:
        job_input = await inputs.find(resources, source, kinds, as_cells=wanted == CSV)
    async with resources.database.connection() as connection:
        snapshot = await snapshots.take(connection, job)
    if wanted != JSON:
        return await responses.respond(resources, job, snapshot, wanted, row_filter, job_input)
    if first_row is None and (wanted_row := _ROW.fullmatch(cursor or "")) is not None:
        first_row = int(wanted_row[1])
    if first_row is None:
        return await _page(
            resources, job, snapshot, job_input, _position(snapshot, cursor), limit, row_filter
        )
    async with resources.database.connection() as connection:
        position = await snapshot.position_of(connection, first_row)
    if position is None:  # a page without rows; while the job runs, its cursor asks for this row again
        scanned = None if row_filter.is_empty else snapshot.end
        return _answer(snapshot, [], None if job.has_ended else f"r{first_row}", scanned)
    return await _page(resources, job, snapshot, job_input, position, limit, row_filter)


def _position(snapshot: Snapshot, cursor: str | None) -> Position:
    """Return the position at which a page of results starts. Raises InvalidCursor."""
    if cursor is None:
        return snapshots.BEGINNING
    position = _POSITION.fullmatch(cursor)
    if position is None or (position[1] is not None) is not snapshot.is_sharded:
        raise InvalidCursor
    return Position(int(position[1] or 0), int(position[2]), int(position[3]))


async def _rows(pieces: AsyncIterator[ResultBatch]) -> AsyncIterator[tuple[Position, bytes]]:
    """Yield the rows, each with its position."""
    async for piece in pieces:
        for row, line in enumerate(views.result_rows(piece)):
            yield piece.position(row), line


async def _page(
    resources: Resources,
    job: Job,
    snapshot: Snapshot,
    job_input: JobInput | None,
    position: Position,
    limit: int,
    row_filter: RowFilter,
) -> Response:
    """Return the rows from a position on that match, at most `limit`, and bounded in bytes.

    While more rows may follow, the page has a cursor.
    """
    pieces = results.read(resources.database, resources.storage, snapshot, start=position)
    if job_input is not None:
        pieces = job_input.attach(pieces)
    if not row_filter.is_empty:
        found = await scanning.search(
            snapshot,
            pieces,
            row_filter,
            position,
            write=views.result_rows,
            limit=limit,
            is_whole=job.has_ended,
        )
        cursor = _cursor(snapshot, found.next_position)
        return _answer(snapshot, found.items, cursor, found.scanned_through)
    items: list[bytes] = []
    left_bytes = paging.PAGE_BYTES
    next_position: Position | None = None if job.has_ended else position
    async with aclosing(pieces):
        async for found_position, row in _rows(pieces):
            left_bytes -= len(row)
            if items and (len(items) == limit or left_bytes < 0):
                next_position = found_position
                break
            items.append(row)
            next_position = None if job.has_ended else found_position._replace(row=found_position.row + 1)
    return _answer(snapshot, items, _cursor(snapshot, next_position))


def _cursor(snapshot: Snapshot, position: Position | None) -> str | None:
    if position is None:
        return None
    return ".".join(map(str, position if snapshot.is_sharded else position[1:]))


def _answer(
    snapshot: Snapshot, items: list[bytes], cursor: str | None, scanned: int | None = None
) -> Response:
    rest: dict[str, object] = {
        "next_cursor": cursor,
        "rows_ready": snapshot.rows_ready,
        "retrieved_at": datetime.now(UTC),
    }
    if scanned is not None:
        rest["scanned_through"] = scanned
    return Response(b'{"items":[%s],%s' % (b",".join(items), views.encode(rest)[1:]), media_type=JSON)
