"""Uploads of a user, and what jobs see of a file."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.datasets.conversion.task import convert
from app.datasets.options import ReadOptions
from app.datasets.reading import RowReader
from app.datasets.values import Format
from tests.support.accounts import Account

Upload = Callable[..., Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Seen:
    """What is seen of a file: the types of its columns and why, its first rows, and how many there are."""

    types: dict[str, str]
    notes: dict[str, str | None]
    rows: list[dict[str, Any]]
    total: int


Preview = Callable[..., Seen]

MEDIA_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


@pytest.fixture
def upload(client: httpx.AsyncClient, alice: Account) -> Upload:
    """Upload a file as Alice."""

    async def upload(
        content: Any,
        file_format: str = "csv",
        *,
        name: str = "a dataset",
        who: Account = alice,
        **headers: str,
    ) -> httpx.Response:
        return await client.post(
            "/datasets",
            params={"name": name},
            content=content,
            headers={"Content-Type": MEDIA_TYPES[file_format], **who.headers, **headers},
        )

    return upload


@pytest.fixture
def read(tmp_path: Path) -> Preview:
    """Convert a file, and give what jobs would see of it: types by column, and the rows."""

    def read(content: bytes, file_format: str = "csv", **options: Any) -> Seen:
        source, target = tmp_path / "content", tmp_path / "rows.parquet"
        source.write_bytes(content)
        convert(source, target, Format(file_format), msgspec.convert(options, ReadOptions))
        with RowReader(target) as reader:
            types = {column.name: column.type for column in reader.columns}
            notes = {column.name: column.note for column in reader.columns}
            return Seen(types, notes, reader.rows(0, 100), len(reader))

    return read
