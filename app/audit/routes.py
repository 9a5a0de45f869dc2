"""Routes of the audit log, for administrators."""

import re
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from app.audit import commands, queries, views
from app.audit.actions import Action, AuditOutcome, ObjectType
from app.audit.queries import AuditFilter
from app.audit.schemas import AuditEntryView, AuditPage, AuditVerification
from app.audit.values import Link
from app.audit.verification import verify
from app.auth.deps import Administrator
from app.auth.download_tickets.deps import AuditDownloader
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, InvalidCursor
from app.http import problems
from app.http.accept import choose
from app.http.body import CleanStr
from app.http.compression import CompressibleResponse
from app.http.deps import DatabaseDep
from app.http.instants import Instant
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute

CSV: Final = "text/csv"
JSON: Final = "application/json"
_SEQ: Final = re.compile(r"[0-9]{1,18}")


class AuditFormat(StrEnum):
    """The format of a response."""

    JSON = "json"
    CSV = "csv"


router = APIRouter(route_class=BoundedRoute, prefix="/audit", tags=["audit"])


@router.get(
    "",
    operation_id="listAuditEntries",
    summary="List the entries of the audit log, newest first",
    response_model=AuditPage,
    responses={
        200: {"description": "One page of entries, or all of them as CSV", "content": {CSV: {}}},
        **problems.responses(InvalidCursor, DatabaseUnavailable),
    },
)
async def list_audit_entries(
    user: AuditDownloader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    actor: Annotated[UUID | None, Query(description="Id of the user who acted.")] = None,
    action: Annotated[Action | None, Query(description="Name of the action.")] = None,
    object_type: Annotated[ObjectType | None, Query(description="Type of the object.")] = None,
    object_id: Annotated[
        CleanStr | None, Query(alias="object", max_length=200, description="Id of the object.")
    ] = None,
    outcome: Annotated[AuditOutcome | None, Query(description="How the action ended.")] = None,
    start: Annotated[Instant | None, Query(alias="from", description="Start of the period.")] = None,
    finish: Annotated[Instant | None, Query(alias="to", description="End of the period, excluded.")] = None,
    wanted_format: Annotated[
        AuditFormat | None, Query(alias="format", description="`csv` is the same as `Accept: text/csv`.")
    ] = None,
    accept: Annotated[str, Header(description=f"`{CSV}` returns all matching entries in one response.")] = "",
) -> Response:
    """Returns one page of entries. As CSV, returns all that match; no cell is a formula to a spreadsheet."""
    matching = AuditFilter(actor, action, object_type, object_id, outcome, start, finish)
    before = _before(wanted.cursor)
    await commands.seal_all(database)  # so that what was committed before this request is listed
    if (wanted_format or _accepted(accept)) is AuditFormat.CSV:
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Vary": "Accept"}
        return CompressibleResponse(_csv(database, matching), media_type=CSV, headers=headers)
    async with database.connection() as connection:
        page = await queries.page(connection, matching, before=before, limit=wanted.limit)
    body = AuditPage(
        items=[AuditEntryView.model_validate(views.entry(entry)) for entry in page.items],
        next_cursor=page.next_cursor(lambda last: str(last.seq)),
    )
    return Response(body.model_dump_json(), media_type=JSON, headers={"Vary": "Accept"})


@router.get(
    "/verification",
    operation_id="verifyAuditLog",
    summary="Verify the hash chain of the audit log",
    response_description="The outcome",
    responses=problems.responses(DatabaseUnavailable),
)
async def verify_audit_log(
    user: Administrator,
    database: DatabaseDep,
    known: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$",
            description="`last` of an earlier verification, as `seq:hash`: it must still be in the chain.",
        ),
    ] = None,
) -> AuditVerification:
    """Walks the whole chain, from the first entry that was not pruned, and names the first broken entry."""
    await commands.seal_all(database)
    found = await verify(database, None if known is None else Link.parse(known))
    return AuditVerification.model_validate(views.verification(found))


async def _csv(database: Database, wanted: AuditFilter) -> AsyncIterator[bytes]:
    yield views.CSV_HEADER
    async for entries in queries.all_entries(database, wanted):
        yield views.csv_lines(entries)


def _accepted(accept: str) -> AuditFormat:
    return AuditFormat.CSV if choose(accept, (JSON, CSV)) == CSV else AuditFormat.JSON


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not _SEQ.fullmatch(cursor):
        raise InvalidCursor
    return int(cursor)
