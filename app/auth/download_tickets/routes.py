"""The route that issues download tickets."""

from fastapi import APIRouter, Response

from app.auth.deps import AccountReader
from app.auth.download_tickets import commands
from app.auth.download_tickets.paths import TICKET, canonical
from app.auth.download_tickets.schemas import DownloadRequest, DownloadTicketIssued
from app.http.deps import DatabaseDep
from app.http.links import link
from app.http.routing import BoundedRoute

router = APIRouter(route_class=BoundedRoute, tags=["Sign in"])


@router.post(
    "/download-tickets",
    operation_id="createDownloadTicket",
    summary="Get a link for one download",
    status_code=201,
)
async def create_download_ticket(
    body: DownloadRequest, user: AccountReader, database: DatabaseDep, response: Response
) -> DownloadTicketIssued:
    """Issue a ticket, for browsers: a link cannot send a token. The URL opens this path, once.

    Whether there is such a file, and whether you may read it, shows when the download begins.
    """
    path, _, query = body.path.partition("?")
    async with database.connection() as connection:
        ticket = await commands.issue(connection, user, canonical(path, query))
    response.headers["Cache-Control"] = "no-store"
    separator = "&" if query else "?"
    return DownloadTicketIssued(
        url=f"{link(body.path.removesuffix('?'))}{separator}{TICKET}={ticket}",
        expires_in=int(commands.LIFETIME.total_seconds()),
    )
