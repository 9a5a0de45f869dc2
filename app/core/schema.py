"""How tables are declared: constraint names a migration can count on, and the column types of the house."""

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import sqlalchemy
from sqlalchemy import CheckConstraint, Column, DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

WordType = TypeVar("WordType", bound=StrEnum)

# Postgres would choose names of its own, and a downgrade could not know them.
SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


class Word(TypeDecorator[WordType]):
    """A StrEnum kept as text, which comes back as the enum's member and not as a bare `str`."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[WordType]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: WordType | None, dialect: Dialect) -> str | None:
        """Write the word's text."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> WordType | None:
        """Read the word that the text stands for."""
        return None if value is None else self.words(value)


def word(words: type[WordType], *, default: WordType | None = None) -> Column[WordType]:
    """A column that holds one word of a closed set; `one_of` makes Postgres hold it to that."""
    return Column(Word(words), nullable=False, server_default=None if default is None else default.value)


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """The constraint `ck_<table>_<column>`: the column holds a word of the set."""
    allowed = ", ".join(f"'{member.value}'" for member in words)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def instant(*, nullable: bool = False, default_now: bool = False) -> Column[datetime]:
    """A moment in time, as `timestamptz`; `default_now` lets the database's clock fill it in."""
    return Column(
        DateTime(timezone=True),
        nullable=nullable,
        server_default=sqlalchemy.func.now() if default_now else None,
    )
