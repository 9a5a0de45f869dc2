"""SQL that selects the jobs of a filter."""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_, select, union_all

from app.jobs import tables
from app.jobs.filters import JobFilter

_ID_DIGITS: Final = 32
_ID_PREFIX: Final = re.compile(r"[0-9a-f]{4,32}")
"""Fewer digits would match the jobs of many hours: ids begin with the time at which they were made."""


def conditions(wanted: JobFilter, owner_id: UUID | None) -> list[ColumnElement[bool]]:
    """Return the conditions on `jobs`; `owner_id` None means jobs of all users. Shards are never selected."""
    column = tables.Job.__table__.c  # type: ignore[attr-defined]  # SQLModel gives every table class its table
    name = column.params["model"]["name"].astext
    exact: dict[Any, object] = {
        column.owner_id: owner_id,
        column.group_id: wanted.group_id,
        column.kind: wanted.kind,
        column.queue: wanted.queue,
        column.schedule_id: wanted.schedule_id,
        column.dataset_id: wanted.dataset_id,
        name: wanted.model,
        # Compared as text: a cast would fail on the params of a plugin's kind that has other versions.
        column.params["model"]["version"].astext: (
            None if wanted.model_version is None else str(wanted.model_version)
        ),
    }
    found: list[ColumnElement[bool]] = [column.parent_id.is_(None)]
    found += [key == value for key, value in exact.items() if value is not None]
    if wanted.statuses:
        found.append(column.status.in_(wanted.statuses))
    if wanted.priorities:
        found.append(column.priority.in_(wanted.priorities))
    if wanted.prefix:
        ids = ids_with_prefix(wanted.prefix)
        has_name = name.startswith(wanted.prefix, autoescape=True)
        found.append(has_name if ids is None else or_(and_(column.id.between(*ids)), has_name))
    if wanted.metadata:
        found.append(column.metadata.contains(wanted.metadata))
    if wanted.created_after is not None:
        found.append(column.created_at > wanted.created_after)
    if wanted.created_before is not None:
        found.append(column.created_at < wanted.created_before)
    return found


def newest(
    columns: Sequence[ColumnElement[Any]],
    owner_id: UUID | None,
    wanted: JobFilter,
    *,
    before: UUID | None,
    limit: int,
) -> Select[Any]:
    """Return the query for the newest jobs of an owner, None: of all, that are older than the job `before`.

    `columns` are those of `jobs` to read; `id` must be among them.
    """
    parts = [
        _newest_of_part(columns, owner_id, part, before, limit)
        for part in (wanted.by_status() if len(wanted.statuses) > 1 else [wanted])
    ]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(part.subquery().select() for part in parts)).subquery()
    return select(merged).order_by(merged.c.id.desc()).limit(limit)


def _newest_of_part(
    columns: Sequence[ColumnElement[Any]],
    owner_id: UUID | None,
    wanted: JobFilter,
    before: UUID | None,
    limit: int,
) -> Select[Any]:
    job_id = tables.Job.__table__.c.id  # type: ignore[attr-defined]
    narrowed = conditions(wanted, owner_id)
    if before is not None:
        narrowed.append(job_id < before)
    return select(*columns).where(*narrowed).order_by(job_id.desc()).limit(limit)


def ids_with_prefix(prefix: str) -> tuple[UUID, UUID] | None:
    """Return the first and the last id that begins with these digits; None if no id does."""
    digits = prefix.lower().replace("-", "")
    if not _ID_PREFIX.fullmatch(digits):
        return None
    return UUID(digits.ljust(_ID_DIGITS, "0")), UUID(digits.ljust(_ID_DIGITS, "f"))
