"""Reads of reports."""

from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.sql import Statement
from app.models import builtin
from app.models import queries as models
from app.models.reports.errors import ReportNotFound
from app.models.reports.report import Report
from app.models.versions import RegisteredVersion

# The report of a version.
_REPORT: Final = Statement("SELECT report FROM model_reports WHERE version_id = :version_id")


async def find(connection: asyncpg.Connection, version_id: UUID) -> Report | None:
    """Return the report of a version; None if it has none."""
    report = await _REPORT.fetchval(connection, version_id=version_id)
    return None if report is None else msgspec.convert(report, Report)


async def get(
    connection: asyncpg.Connection, user_id: UUID, name: str, number: int
) -> tuple[RegisteredVersion, Report]:
    """Return a version of a user's own model, with its report. Raises ModelNotFound, ReportNotFound."""
    missing = ReportNotFound(model=f"{name}@{number}")
    if builtin.find(f"{name}@{number}") is not None:
        raise missing
    version = await models.get_version(connection, user_id, name, number)
    report = await find(connection, version.id)
    if report is None:
        raise missing
    return version, report
