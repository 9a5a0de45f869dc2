"""How stored datasets are shown."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from app.core import paging
from app.datasets.options import UTF_8
from app.datasets.schemas import DatasetLinks, DatasetPage, DatasetView, OptionsView
from app.datasets.values import Format


def dataset(row: asyncpg.Record) -> DatasetView:
    """A dataset as its owner sees it."""
    return DatasetView(
        dataset_id=row["id"],
        name=row["name"],
        format=Format(row["format"]),
        bytes=row["bytes"],
        rows=row["rows"],
        columns=row["columns"],
        options=_options(Format(row["format"]), row["options"]),
        sha256=row["sha256"],
        created_at=row["created_at"],
        links=_links(row["id"]),
    )


def dataset_page(rows: Sequence[asyncpg.Record], limit: int) -> DatasetPage:
    """A page of at most `limit` datasets, from one row more than that if there are more."""
    shown, is_last = paging.page(rows, limit)
    next_cursor = None if is_last else paging.encode_cursor(shown[-1]["id"])
    return DatasetPage(items=[dataset(row) for row in shown], next_cursor=next_cursor)


def _options(file_format: Format, used: dict[str, Any]) -> OptionsView:
    """How a file was read; what was not said or found is as it always is."""
    is_text = file_format is not Format.PARQUET
    return OptionsView(
        delimiter=used.get("delimiter", "," if file_format is Format.CSV else None),
        encoding=used.get("encoding", UTF_8 if is_text else None),
        null_values=used.get("null_values", []),
        columns=used.get("columns", {}),
    )


def _links(dataset_id: UUID) -> DatasetLinks:
    here = f"/datasets/{dataset_id}"
    return DatasetLinks(self=here, preview=f"{here}/preview", content=f"{here}/content")
