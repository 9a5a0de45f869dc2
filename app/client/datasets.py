"""Datasets: uploads, lists, shows, downloads and deletes them, as flows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from app.client import downloading, options
from app.client.creation import create_job
from app.client.dataset_values import AnyDataset, Dataset, DatasetPreview, DatasetProfile, dataset_member
from app.client.errors import NotFound
from app.client.exchange import Exchange, parse_json
from app.client.options import JobOptions, UploadOptions
from app.client.steps import Flow, Request
from app.client.values import Submitted

UPLOAD_SECONDS: Final = 600.0
"""Read timeout of an upload: the server converts the file before it responds."""

PROFILE_SECONDS: Final = 330.0
"""Read timeout of a profile; the server computes it for at most 300 seconds."""

GZIP_SUFFIX: Final = ".gz"

_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_MEDIA_TYPES: Final = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class Datasets:
    """The methods of the clients for datasets, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def upload(self, path: str | Path, name: str | None, more: UploadOptions) -> Flow[Dataset]:
        """Upload a file, without retries: each request creates a dataset."""
        path = Path(path)
        is_gzip = path.suffix.lower() == GZIP_SUFFIX
        stem = path.stem if is_gzip else path.name
        format = more.get("format") or _format_of(stem)
        request = Request(
            "POST",
            "/datasets",
            params={"name": name or stem, **options.upload_params(more)},
            headers={
                "content-type": _MEDIA_TYPES[format],
                **({"content-encoding": "gzip"} if is_gzip else {}),
            },
            file=path,
            read_seconds=UPLOAD_SECONDS,
        )
        response = yield from self._exchange.once(request)
        return parse_json(Dataset.parse, response)

    def list(self, name: str | None, prefix: str | None, page_size: int) -> Flow[None]:
        """Emit datasets, newest first."""
        filters = {**({} if name is None else {"name": name}), **options.prefix_param(prefix)}
        return self._exchange.pages("/datasets", Dataset.parse, page_size, filters)

    def get(self, dataset: AnyDataset) -> Flow[Dataset]:
        """Fetch a dataset."""
        path = yield from self._path(dataset)
        return (yield from self._exchange.read(Dataset.parse, Request("GET", path)))

    def preview(self, dataset: AnyDataset, rows: int) -> Flow[DatasetPreview]:
        """Fetch the first rows of a dataset."""
        path = yield from self._path(dataset)
        request = Request("GET", f"{path}/preview", params={"rows": str(rows)})
        return (yield from self._exchange.read(DatasetPreview.parse, request))

    def profile(self, dataset: AnyDataset) -> Flow[DatasetProfile]:
        """Fetch the profile of a dataset, which the server computes first if need be."""
        path = yield from self._path(dataset)
        request = Request("GET", f"{path}/profile", read_seconds=PROFILE_SECONDS)
        return (yield from self._exchange.read(DatasetProfile.parse, request))

    def preprocess(
        self, dataset: AnyDataset, steps: Sequence[Mapping[str, Any]], name: str | None, more: JobOptions
    ) -> Flow[Submitted]:
        """Submit a job that makes new datasets of a dataset."""
        members, key = options.split_options(more)
        named = {} if name is None else {"name": name}
        body = {**dataset_member(dataset), **named, "steps": list(steps), **members}
        return create_job(self._exchange, "preprocess-dataset", body, key)

    def download(self, dataset: AnyDataset) -> Flow[None]:
        """Emit the bytes of the uploaded file."""
        path = yield from self._path(dataset)
        yield from downloading.file(self._exchange, Request("GET", f"{path}/content"))

    def delete(self, dataset: AnyDataset) -> Flow[None]:
        """Delete a dataset."""
        path = yield from self._path(dataset)
        yield from self._exchange.delete(Request("DELETE", path))

    def _path(self, dataset: AnyDataset) -> Flow[str]:
        """The path of a dataset; a name means the newest of that name. Raises NotFound."""
        member = dataset_member(dataset)
        if "dataset_id" in member:
            return f"/datasets/{quote(member['dataset_id'], safe='')}"
        name = member["dataset"]
        newest: Sequence[Dataset] = yield from self._exchange.read(
            lambda page: [Dataset.parse(item) for item in page["items"]],
            Request("GET", "/datasets", params={"name": name, "limit": "1"}),
        )
        if not newest or newest[0].name != name:
            raise NotFound(f"You have no dataset with the name {name}.", status=404, code="dataset_not_found")
        return f"/datasets/{newest[0].id}"


def _format_of(name: str) -> str:
    """The format of a file by the end of its name. Raises ValueError."""
    format = _FORMATS.get(Path(name).suffix.lower())
    if format is None:
        raise ValueError(
            f"{name} is not a dataset file: its name must end in {', '.join(_FORMATS)},"
            " or you name the format"
        )
    return format
