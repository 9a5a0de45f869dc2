"""Reads of the search: a few rows of each table, by the beginning of a name or of an id.

Names are compared by bytes and in lower case, as their indexes have them. The names that begin with a text
are then the first ones from that text on: the query reads as many as are shown and drops those that begin
otherwise. No pattern is involved, so no character is a wildcard, and the plan is the same for every text.
"""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import ScopedStatement, Statement
from app.jobs.model_name import MODEL_NAME, MODEL_REFERENCE
from app.jobs.names import owner_name
from app.models import builtin
from app.search.values import FoundDataset, FoundJob, FoundModel, FoundSchedule, Wanted

MAX_OF_EACH: Final = 5

JOBS_LOOKED_AT: Final = 1000
"""A job is found by the name of its model among this many newest ones."""

_NAME: Final = 'lower({}.name) COLLATE "C"'
_TEXT: Final = "lower(:text::text)"
_BEGINS: Final = f"starts_with(lower(name), {_TEXT})"


def _named(source: str, alias: str, order: str = "") -> str:
    """Return SQL for the rows of `source`, which ends in a condition, whose names begin with the text."""
    name = _NAME.format(alias)
    return f"{source} AND {name} >= {_TEXT} ORDER BY {name}{order} LIMIT {MAX_OF_EACH}"


_JOB: Final = f"""SELECT j.id, {owner_name("j")} AS owner, j.kind, j.status, j.created_at,
    coalesce({MODEL_REFERENCE}, {MODEL_NAME}) AS model"""

# Which are the newest jobs whose ids are in this range?
_JOBS_OF_IDS: Final = ScopedStatement.of(
    lambda owned: (
        f"""{_JOB} FROM jobs j WHERE {owned} j.parent_id IS NULL AND j.id BETWEEN :first AND :last
ORDER BY j.id DESC LIMIT {MAX_OF_EACH}"""
    )
)

# Which of the newest jobs use or make a model whose name begins with this text?
_JOBS_OF_MODEL: Final = ScopedStatement.of(
    lambda owned: (
        f"""{_JOB} FROM (
    SELECT id, owner_id, kind, status, created_at, params FROM jobs WHERE {owned} parent_id IS NULL
    ORDER BY id DESC LIMIT {JOBS_LOOKED_AT}
) j
WHERE starts_with(lower({MODEL_NAME}), {_TEXT}) ORDER BY j.id DESC LIMIT {MAX_OF_EACH}"""
    )
)

# Which models of this user have names that begin with this text?
_OWN_MODELS: Final = Statement(f"""
SELECT name, owner, true AS is_own FROM (
    {
    _named(
        "SELECT m.name, u.username AS owner FROM models m JOIN users u ON u.id = m.owner_id"
        " WHERE m.owner_id = :user_id",
        "m",
    )
}
) named WHERE {_BEGINS}""")

# Which public models, this user's included, have names that begin with this text?
_PUBLIC_MODELS: Final = Statement(f"""
SELECT name, owner, owner_id = :user_id AS is_own FROM (
    {
    _named(
        "SELECT m.name, m.owner_id, u.username AS owner FROM models m JOIN users u ON u.id = m.owner_id"
        " WHERE m.visibility = 'public'",
        "m",
        ", m.id",
    )
}
) named WHERE {_BEGINS}""")

_DATASET: Final = "SELECT d.id, d.name, d.rows, d.created_at FROM datasets d"

# Which datasets of this owner have names that begin with this text? Of one name, the newest first.
_DATASETS_OF_NAME: Final = Statement(f"""
SELECT * FROM (
    {_named(f"{_DATASET} WHERE d.owner_id = :owner_id", "d", ", d.id DESC")}
) named WHERE {_BEGINS}""")

# Which are the newest datasets of this owner whose ids are in this range?
_DATASETS_OF_IDS: Final = Statement(f"""
{_DATASET} WHERE d.owner_id = :owner_id AND d.id BETWEEN :first AND :last ORDER BY d.id DESC
LIMIT {MAX_OF_EACH}""")

_SCHEDULE: Final = """SELECT s.id, s.name, s.status, u.username AS owner
    FROM schedules s JOIN users u ON u.id = s.owner_id"""

# Which schedules have names that begin with this text? Those of all users are read owner by owner, because
# the index begins with the owner.
_SCHEDULES_OF_NAME: Final = ScopedStatement(
    Statement(
        f"SELECT * FROM ({_named(f'{_SCHEDULE} WHERE s.owner_id = :owner_id', 's')}) named WHERE {_BEGINS}"
    ),
    Statement(f"""
SELECT found.*, users.username AS owner FROM users CROSS JOIN LATERAL (
    SELECT * FROM (
        {_named("SELECT s.id, s.name, s.status FROM schedules s WHERE s.owner_id = users.id", "s")}
    ) named WHERE {_BEGINS}
) found
ORDER BY {_NAME.format("found")}, found.id LIMIT {MAX_OF_EACH}"""),
)

# Which are the newest schedules whose ids are in this range?
_SCHEDULES_OF_IDS: Final = ScopedStatement.of(
    lambda owned: (
        f"{_SCHEDULE} WHERE {owned} s.id BETWEEN :first AND :last ORDER BY s.id DESC LIMIT {MAX_OF_EACH}"
    )
)


async def jobs(connection: asyncpg.Connection, owner_id: UUID | None, wanted: Wanted) -> list[FoundJob]:
    """Return the jobs of an owner, None: of all, that are found: by their ids first, the newest first."""
    rows: list[asyncpg.Record] = []
    if wanted.ids is not None:
        first, last = wanted.ids
        rows += await _JOBS_OF_IDS.fetch(connection, owner_id, first=first, last=last)
    if len(rows) < MAX_OF_EACH:
        rows += await _JOBS_OF_MODEL.fetch(connection, owner_id, text=wanted.text)
    return [FoundJob.from_row(row) for row in _first_of_each_id(rows)]


async def models(connection: asyncpg.Connection, user_id: UUID, wanted: Wanted) -> list[FoundModel]:
    """Return the models that a user may predict with: their own, the built-in ones, public ones of others."""
    own = await _OWN_MODELS.fetch(connection, user_id=user_id, text=wanted.text)
    public = await _PUBLIC_MODELS.fetch(connection, user_id=user_id, text=wanted.text)
    built_in = sorted(name for name in builtin.NAMES if name.startswith(wanted.text.lower()))
    found = [
        *(FoundModel.from_row(row) for row in own),
        *(FoundModel(name, None, is_own=False, is_built_in=True) for name in built_in),
        # As many of others as there is room for: of those of the user, the first ones are in `own`.
        *(FoundModel.from_row(row) for row in public if not row["is_own"]),
    ]
    return found[:MAX_OF_EACH]


async def datasets(connection: asyncpg.Connection, owner_id: UUID, wanted: Wanted) -> list[FoundDataset]:
    """Return the datasets of an owner that are found: by their names first."""
    rows = await _DATASETS_OF_NAME.fetch(connection, owner_id=owner_id, text=wanted.text)
    if wanted.ids is not None and len(rows) < MAX_OF_EACH:
        first, last = wanted.ids
        rows += await _DATASETS_OF_IDS.fetch(connection, owner_id=owner_id, first=first, last=last)
    return [FoundDataset.from_row(row) for row in _first_of_each_id(rows)]


async def schedules(
    connection: asyncpg.Connection, owner_id: UUID | None, wanted: Wanted
) -> list[FoundSchedule]:
    """Return the schedules of an owner, None: of all, that are found: by their names first."""
    rows = await _SCHEDULES_OF_NAME.fetch(connection, owner_id, text=wanted.text)
    if wanted.ids is not None and len(rows) < MAX_OF_EACH:
        first, last = wanted.ids
        rows += await _SCHEDULES_OF_IDS.fetch(connection, owner_id, first=first, last=last)
    return [FoundSchedule.from_row(row) for row in _first_of_each_id(rows)]


def _first_of_each_id(rows: list[asyncpg.Record]) -> list[asyncpg.Record]:
    first: dict[UUID, asyncpg.Record] = {}
    for row in rows:
        first.setdefault(row["id"], row)
    return list(first.values())[:MAX_OF_EACH]
