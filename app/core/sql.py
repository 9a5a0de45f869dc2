"""SQL statements with named parameters, compiled once to the `$1`, `$2` … of Postgres.

A parameter is written `:name`, as in SQLAlchemy, and may appear more than once. Quoted text, comments and
casts (`::uuid`) are left alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
        """The values in the order of their numbers. Raises TypeError on a missing or unknown name."""
        if len(parameters) != len(self._names) or not all(name in parameters for name in self._names):
            wrong = set(parameters).symmetric_difference(self._names)
            raise TypeError(f"missing or unknown parameters: {', '.join(sorted(wrong))}")
        return [parameters[name] for name in self._names]

    async def fetch(self, connection: asyncpg.Connection, **parameters: Any) -> list[asyncpg.Record]:
        """All rows."""
        return await connection.fetch(self.text, *self.arguments(parameters))

    async def fetchrow(self, connection: asyncpg.Connection, **parameters: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""
        return await connection.fetchrow(self.text, *self.arguments(parameters))

    async def fetchval(self, connection: asyncpg.Connection, **parameters: Any) -> Any:
        """The first column of the first row; None if there is no row."""
        return await connection.fetchval(self.text, *self.arguments(parameters))

    async def execute(self, connection: asyncpg.Connection, **parameters: Any) -> str:
        """The status of the command, for example `DELETE 3`."""
        return await connection.execute(self.text, *self.arguments(parameters))


class RowSet:
    """Rows that a statement takes as parameters: one array for each column.

    Use `batches = RowSet("batch", job_id="uuid", index="int")` as `SELECT * FROM {batches.sql}`, which names
    the rows `batch`, and pass them as `**batches.parameters([(job_id, 0), (job_id, 1)])`.
    """

    __slots__ = ("_parameters", "sql")

    def __init__(self, alias: str, /, **types: str) -> None:
        self._parameters: Final = tuple(f"{alias}_{column}" for column in types)
        arrays = ", ".join(
            f":{name}::{of}[]" for name, of in zip(self._parameters, types.values(), strict=True)
        )
        self.sql: Final = f"unnest({arrays}) AS {alias} ({', '.join(types)})"

    def parameters(self, rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
        """The arrays, by the names of their parameters. Each row has a value for each column, in order."""
        arrays: dict[str, list[Any]] = {name: [] for name in self._parameters}
        columns = tuple(arrays.values())
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        return arrays
