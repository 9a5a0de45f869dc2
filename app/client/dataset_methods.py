"""The methods of both clients for datasets: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from app.client.dataset_values import AnyDataset, Dataset, DatasetPreview, DatasetProfile
from app.client.methods import AsyncMethods, Methods
from app.client.options import JobOptions, UploadOptions
from app.client.values import Submitted


class DatasetMethods(Methods):
    """The methods of `Headrace` for datasets."""

    def upload(
        self, path: str | Path, *, name: str | None = None, **options: Unpack[UploadOptions]
    ) -> Dataset:
        """Upload a file as a dataset: .csv, .tsv, .jsonl, .ndjson or .parquet, also with .gz.

            dataset = client.upload("sales.csv", delimiter=";", columns={"zip": "category"})

        Raises Invalid for a bad row. Never retried: if the connection breaks, look in `datasets` whether it
        arrived.
        """
        return self._run(self._core.datasets.upload(path, name, options))

    def datasets(
        self, *, name: str | None = None, prefix: str | None = None, page_size: int = 100
    ) -> Iterator[Dataset]:
        """Iterate over your datasets, newest first: all, or those with a name, or with its beginning."""
        return self._iterate(self._core.datasets.list(name, prefix, page_size))

    def dataset(self, dataset: AnyDataset) -> Dataset:
        """Return a dataset, by its id or its name. Raises NotFound."""
        return self._run(self._core.datasets.get(dataset))

    def preview_dataset(self, dataset: AnyDataset, *, rows: int = 20) -> DatasetPreview:
        """Return the first rows of a dataset, at most 100, as jobs read them."""
        return self._run(self._core.datasets.preview(dataset, rows))

    def download_dataset(self, dataset: AnyDataset) -> Iterator[bytes]:
        """Stream the uploaded file in chunks of any size, byte for byte."""
        return self._iterate(self._core.datasets.download(dataset))

    def delete_dataset(self, dataset: AnyDataset) -> None:
        """Delete a dataset with its files; a name means the newest. Raises Conflict while a job uses it."""
        self._run(self._core.datasets.delete(dataset))

    def profile_dataset(self, dataset: AnyDataset) -> DatasetProfile:
        """Return types, missing values, statistics, frequent values and warnings of each column.

        The server computes a profile once, which takes seconds for a million rows.
        """
        return self._run(self._core.datasets.profile(dataset))

    def preprocess(
        self,
        dataset: AnyDataset,
        steps: Sequence[Mapping[str, Any]],
        *,
        name: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Submitted:
        """Apply steps to all rows of a dataset. The job's result names the new datasets.

            job = client.preprocess(
                "reviews.csv",
                [
                    {"step": "deduplicate", "columns": ["review"]},
                    {"step": "split", "parts": [
                        {"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}]},
                ],
            )
            client.wait(job).result["datasets"]

        Raises Invalid for a step that does not fit the columns. Retried as `submit` is.
        """
        return self._run(self._core.datasets.preprocess(dataset, steps, name, options))


class AsyncDatasetMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for datasets."""

    async def upload(
        self, path: str | Path, *, name: str | None = None, **options: Unpack[UploadOptions]
    ) -> Dataset:
        """Upload a file as a dataset: .csv, .tsv, .jsonl, .ndjson or .parquet, also with .gz.

            dataset = await client.upload("sales.csv", delimiter=";", columns={"zip": "category"})

        Raises Invalid for a bad row. Never retried: if the connection breaks, look in `datasets` whether it
        arrived.
        """
        return await self._run(self._core.datasets.upload(path, name, options))

    def datasets(
        self, *, name: str | None = None, prefix: str | None = None, page_size: int = 100
    ) -> AsyncIterator[Dataset]:
        """Iterate over your datasets, newest first: all, or those with a name, or with its beginning."""
        return self._iterate(self._core.datasets.list(name, prefix, page_size))

    async def dataset(self, dataset: AnyDataset) -> Dataset:
        """Return a dataset, by its id or its name. Raises NotFound."""
        return await self._run(self._core.datasets.get(dataset))

    async def preview_dataset(self, dataset: AnyDataset, *, rows: int = 20) -> DatasetPreview:
        """Return the first rows of a dataset, at most 100, as jobs read them."""
        return await self._run(self._core.datasets.preview(dataset, rows))

    def download_dataset(self, dataset: AnyDataset) -> AsyncIterator[bytes]:
        """Stream the uploaded file in chunks of any size, byte for byte."""
        return self._iterate(self._core.datasets.download(dataset))

    async def delete_dataset(self, dataset: AnyDataset) -> None:
        """Delete a dataset with its files; a name means the newest. Raises Conflict while a job uses it."""
        await self._run(self._core.datasets.delete(dataset))

    async def profile_dataset(self, dataset: AnyDataset) -> DatasetProfile:
        """Return types, missing values, statistics, frequent values and warnings of each column.

        The server computes a profile once, which takes seconds for a million rows.
        """
        return await self._run(self._core.datasets.profile(dataset))

    async def preprocess(
        self,
        dataset: AnyDataset,
        steps: Sequence[Mapping[str, Any]],
        *,
        name: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Submitted:
        """Apply steps to all rows of a dataset. The job's result names the new datasets.

            job = await client.preprocess(
                "reviews.csv",
                [
                    {"step": "deduplicate", "columns": ["review"]},
                    {"step": "split", "parts": [
                        {"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}]},
                ],
            )
            (await client.wait(job)).result["datasets"]

        Raises Invalid for a step that does not fit the columns. Retried as `submit` is.
        """
        return await self._run(self._core.datasets.preprocess(dataset, steps, name, options))
