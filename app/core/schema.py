"""Shared table definitions: naming convention for constraints, and column types."""

from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

import sqlalchemy
from sqlalchemy import CheckConstraint, Column, DateTime, Dialect, Text, text
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

EnumType = TypeVar("EnumType", bound=StrEnum)

# Explicit names, so that migrations can refer to constraints when they drop them.
SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}

LOWER_NAME: Final = text("lower(name)")
"""Names in lower case, compared by bytes: migrations add COLLATE "C", which Alembic does not read."""


class EnumText(TypeDecorator[EnumType]):
    """Stores a StrEnum as text and loads it as a member of the enum."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[EnumType]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: EnumType | None, dialect: Dialect) -> str | None:
        """Convert a member to its text."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> EnumType | None:
        """Convert text to the enum's member."""
        return None if value is None else self.enum(value)


def enum_column(enum: type[EnumType], *, default: EnumType | None = None) -> Column[EnumType]:
    """Return a non-null text column for an enum. Add `enum_check` to the table to enforce the values."""
    return Column(EnumText(enum), nullable=False, server_default=None if default is None else default.value)


def enum_check(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """Return the constraint `ck_<table>_<column>`, which limits the column to the enum's values."""
    allowed = ", ".join(f"'{member.value}'" for member in enum)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def timestamp_column(
    *, nullable: bool = False, default_now: bool = False, primary_key: bool = False
) -> Column[datetime]:
    """Return a `timestamptz` column; with `default_now`, the database's `now()` is the default."""
    return Column(
        DateTime(timezone=True),
        nullable=nullable,
        primary_key=primary_key,
        server_default=sqlalchemy.func.now() if default_now else None,
    )
