"""`headrace audit`: the audit log from the command line, for those who have access to the database."""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Column, Table

from app.audit import commands, queries, views
from app.audit.actions import Action
from app.audit.queries import AuditFilter
from app.audit.values import Link
from app.audit.verification import verify as walk
from app.auth.users import queries as users
from app.cli.databases import open_database_of
from app.cli.errors import CommandFailed, UsageError
from app.cli.output import print_json
from app.cli.tables import print_table
from app.core.database import Database

CSV: Final = "csv"


async def list_entries(
    data: Path | None, *, actor: str | None, action: str | None, limit: int, as_json: bool
) -> None:
    """Print the newest entries."""
    async with open_database_of(data) as database:
        matching = await _filter(database, actor, action)
        await commands.seal_all(database)
        async with database.connection() as connection:
            page = await queries.page(connection, matching, before=None, limit=limit)
    if as_json:
        print_json([views.entry(entry) for entry in page.items])
        return
    table = Table(
        "number", "time", "actor", Column("action", no_wrap=True), "object", "outcome", "network", box=None
    )
    for entry in page.items:
        recorded = entry.recorded
        table.add_row(
            str(entry.seq),
            f"{recorded.at:%Y-%m-%d %H:%M:%S}",
            recorded.actor_name or "",
            recorded.action,
            " ".join(filter(None, (recorded.object_type, recorded.object_id))),
            recorded.outcome,
            recorded.network or "",
        )
    print_table(table)


async def export(data: Path | None, *, actor: str | None, action: str | None, file_format: str) -> None:
    """Write all matching entries to stdout, newest first."""
    async with open_database_of(data) as database:
        matching = await _filter(database, actor, action)
        await commands.seal_all(database)
        if file_format == CSV:
            _write(views.CSV_HEADER)
        async for entries in queries.all_entries(database, matching):
            if file_format == CSV:
                _write(views.csv_lines(entries))
            else:
                _write(b"".join(msgspec.json.encode(views.entry(entry)) + b"\n" for entry in entries))


async def verify(data: Path | None, *, known: str | None, as_json: bool) -> None:
    """Walk the chain. Raises CommandFailed if it is broken."""
    try:
        link = None if known is None else Link.parse(known)
    except ValueError as error:
        raise UsageError(str(error)) from error
    async with open_database_of(data) as database:
        await commands.seal_all(database)
        found = await walk(database, link)
    document: dict[str, Any] = views.verification(found)
    if not found.is_intact:
        raise CommandFailed(
            f"Entry {found.broken_seq} of the audit log is not intact: {found.reason}.",
            code="audit_log_not_intact",
            facts=document,
        )
    if as_json:
        print_json(document)
    else:
        print(f"{found.entries} entries are intact. Keep this outside the database, and pass it as --known:")
        print(found.last)


async def _filter(database: Database, actor: str | None, action: str | None) -> AuditFilter:
    actor_id = None
    if actor is not None:
        async with database.connection() as connection:
            actor_id = (await users.get_by_name(connection, actor)).id
    if action is not None and action not in set(Action):
        raise UsageError(f"There is no action {action!r}. The actions are: {', '.join(Action)}.")
    return AuditFilter(actor_id=actor_id, action=None if action is None else Action(action))


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
