"""Datasets as the API shows them."""

from uuid import UUID

import msgspec

from app.core import paging
from app.core.paging import Page
from app.datasets.options import UTF_8, ReadOptions
from app.datasets.schemas import DatasetLinks, DatasetPage, DatasetView, OptionsView
from app.datasets.values import Dataset, Format
from app.http.links import link


def dataset_view(dataset: Dataset) -> DatasetView:
    """A dataset as its owner sees it."""
    return DatasetView(
        dataset_id=dataset.id,
        name=dataset.name,
        format=dataset.format,
        bytes=dataset.bytes,
        rows=dataset.rows,
        columns=msgspec.to_builtins(dataset.columns),
        options=_options(dataset.format, dataset.options),
        sha256=dataset.sha256,
        lineage=msgspec.to_builtins(dataset.lineage),
        created_at=dataset.created_at,
        links=_links(dataset.id),
    )


def dataset_page(page: Page[Dataset]) -> DatasetPage:
    """A page of datasets."""
    return DatasetPage(
        items=[dataset_view(dataset) for dataset in page.items],
        next_cursor=page.next_cursor(lambda dataset: paging.encode_cursor(dataset.id)),
    )


def _options(file_format: Format, options: ReadOptions) -> OptionsView:
    """How the file was read, with the defaults of its format filled in."""
    delimiter = "," if file_format is Format.CSV else None
    encoding = None if file_format is Format.PARQUET else UTF_8
    return OptionsView(
        delimiter=options.delimiter or delimiter,
        encoding=options.encoding or encoding,
        null_values=list(options.null_values),
        columns=options.columns,
    )


def _links(dataset_id: UUID) -> DatasetLinks:
    here = link(f"/datasets/{dataset_id}")
    return DatasetLinks(self=here, preview=f"{here}/preview", content=f"{here}/content")
