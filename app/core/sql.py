"""SQL statements with named parameters, compiled once to the `$1`, `$2` … of Postgres.

A parameter is written `:name`, as in SQLAlchemy, and may appear more than once. Quoted text, comments and
casts (`::uuid`) are left alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

_TOKEN: Final = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | ::\s*\w+ | :(?P<name>[a-z_][a-z0-9_]*)""",
    re.VERBOSE | re.DOTALL,
)


class Statement:
    """One SQL statement. Compile it at import, as a constant; run it with its parameters as keywords.

    A missing or unknown parameter raises TypeError before anything is sent. The methods are those of an
    asyncpg connection, and raise the same errors.
    """

    __slots__ = ("_names", "text")

    def __init__(self, source: str) -> None:
        numbers: dict[str, int] = {}

        def numbered(match: re.Match[str]) -> str:
            name = match["name"]
            return match[0] if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

        self.text: Final = _TOKEN.sub(numbered, source)
        """The statement as Postgres takes it."""
        self._names: Final = tuple(numbers)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of their numbers. Raises TypeError on a missing or unknown name."""
        try:
            values = [parameters[name] for name in self._names]
        except KeyError:
            values = []
        if len(values) != len(parameters) or len(values) != len(self._names):
            wrong = set(parameters).symmetric_difference(self._names)
            raise TypeError(f"missing or unknown parameters: {', '.join(sorted(wrong))}")
        return values

    async def fetch(self, connection: asyncpg.Connection, **parameters: Any) -> list[asyncpg.Record]:
        """Return all rows."""
        return await connection.fetch(self.text, *self.arguments(parameters))

    async def fetchrow(self, connection: asyncpg.Connection, **parameters: Any) -> asyncpg.Record | None:
        """Return the first row, or None."""
        return await connection.fetchrow(self.text, *self.arguments(parameters))

    async def fetchval(self, connection: asyncpg.Connection, **parameters: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await connection.fetchval(self.text, *self.arguments(parameters))

    async def execute(self, connection: asyncpg.Connection, **parameters: Any) -> str:
        """Return the status of the command, for example `DELETE 3`."""
        return await connection.execute(self.text, *self.arguments(parameters))


@dataclass(frozen=True, slots=True)
class ScopedStatement:
    """A statement about what belongs to one owner, and the same about all owners.

    They are two statements: in one, the planner could not use an index that begins with the owner.
    """

    of_owner: Statement
    of_all: Statement

    @classmethod
    def of(cls, make: Callable[[str], str], *, column: str = "owner_id") -> Self:
        """Make both. `make` gets the condition on the column, which ends in AND unless it is empty."""
        return cls(Statement(make(f"{column} = :owner_id AND")), Statement(make("")))

    async def fetch(
        self, connection: asyncpg.Connection, owner_id: UUID | None, **parameters: Any
    ) -> list[asyncpg.Record]:
        """Return all rows about one owner, None: about all of them."""
        if owner_id is None:
            return await self.of_all.fetch(connection, **parameters)
        return await self.of_owner.fetch(connection, owner_id=owner_id, **parameters)


class RowSet:
    """Rows of two or more columns that a statement takes as parameters, as one array for each column.

    Use `batches = RowSet("batch", job_id="uuid", index="int")` as `SELECT * FROM {batches.sql}`, which names
    the rows `batch`, and pass them as `**batches.parameters([{"job_id": job_id, "index": 0}])`.
    """

    __slots__ = ("_names", "_values", "_width", "sql")

    def __init__(self, alias: str, /, **types: str) -> None:
        self._names: Final = tuple(f"{alias}_{column}" for column in types)
        self._values: Final = itemgetter(*types)
        self._width: Final = len(types)
        arrays = ", ".join(f":{alias}_{column}::{of}[]" for column, of in types.items())
        self.sql: Final = f"unnest({arrays}) AS {alias} ({', '.join(types)})"

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
        """Return the arrays by the names of their parameters. Each row has exactly the declared columns.

        Raises KeyError on a missing column and TypeError on one too many.
        """
        if not rows:
            return dict.fromkeys(self._names, ())
        if any(len(row) != self._width for row in rows):
            raise TypeError(f"each row has {self._width} columns: {', '.join(self._names)}")
        return dict(zip(self._names, zip(*map(self._values, rows), strict=True), strict=True))
