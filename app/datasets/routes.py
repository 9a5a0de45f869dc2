"""Routes of datasets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth.actors import actor_of
from app.auth.deps import DatasetsReader, DatasetsWriter
from app.auth.download_tickets.deps import DatasetsDownloader
from app.core import text
from app.core.errors import BodyTooLarge, FileMissing, InvalidCursor, StorageUnavailable
from app.core.storage import Storage
from app.datasets import (
    commands,
    formats,
    options,
    queries,
    storage_keys,
    stored_files,
    upload_options,
    views,
)
from app.datasets.deps import ImporterDep, ProfilerDep
from app.datasets.errors import (
    BadHeader,
    BadOptions,
    DatasetInUse,
    DatasetNotFound,
    DatasetRowsTooLarge,
    DatasetTooLarge,
    ProfileFailed,
    TooManyDatasetRows,
    UnsupportedFormat,
)
from app.datasets.reading import RowReader
from app.datasets.schemas import DatasetPage, DatasetPreview, DatasetProfile, DatasetView
from app.datasets.values import MAX_NAME_LENGTH, Dataset, Format
from app.http import files, problems
from app.http.body import CleanStr
from app.http.conditional import ConditionsDep
from app.http.deps import DatabaseDep, ResourcesDep, SettingsDep
from app.http.errors import PreconditionFailed, RangeNotSatisfiable
from app.http.files import ServedFile
from app.http.middleware import allow_body
from app.http.paging import NamePrefix, PageQueryDep
from app.quotas.errors import QuotaExceeded
from app.uploads import multipart
from app.uploads.errors import BadCompression, BadFile, BadRow, BadUpload, SpoolFull, UploadStalled

MAX_PREVIEW_ROWS: Final = 100
PREVIEW_BYTES: Final = 1024 * 1024
_MAX_SHOWN: Final = 100
MULTIPART: Final = "multipart/form-data"
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_EXAMPLE: Final = {
    "dataset_id": _EXAMPLE_ID,
    "name": "reviews",
    "format": "csv",
    "bytes": 52,
    "rows": 2,
    "columns": [{"name": "text", "type": "text"}, {"name": "stars", "type": "integer"}],
    "options": {"delimiter": ",", "encoding": "utf-8", "null_values": [], "columns": {}},
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "lineage": None,
    "created_at": "2026-01-31T12:00:00Z",
    "links": {
        "self": f"/datasets/{_EXAMPLE_ID}",
        "preview": f"/datasets/{_EXAMPLE_ID}/preview",
        "content": f"/datasets/{_EXAMPLE_ID}/content",
    },
}
_PROFILE_EXAMPLE: Final = {
    "rows": 2,
    "duplicate_rows": 0,
    "columns": [
        {
            "name": "stars",
            "type": "integer",
            "missing": 0,
            "unique": 2,
            "min": 2,
            "max": 5,
            "mean": 3.5,
            "std": 2.1213203435596424,
            "quantiles": {"0.05": 2.15, "0.25": 2.75, "0.5": 3.5, "0.75": 4.25, "0.95": 4.85},
            "histogram": None,
            "lengths": None,
            "most_frequent": [{"value": 5, "count": 1}, {"value": 2, "count": 1}],
            "warnings": [],
        }
    ],
}
_NOT_FOUND: Final = DatasetNotFound(dataset_id=_EXAMPLE_ID)
_FILE_MISSING: Final = FileMissing(key=f"datasets/{_EXAMPLE_ID}/content")
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            formats.CSV: {
                "schema": {"type": "string"},
                "example": 'text,stars\nIt works.,5\n"Slow, and loud.",2\n',
            },
            formats.NDJSON: {
                "schema": {"type": "string"},
                "example": '{"text": "It works.", "stars": 5}\n{"text": "Slow, and loud.", "stars": 2}\n',
            },
            formats.PARQUET: _BINARY,
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {"file": _BINARY["schema"]},
                    "required": ["file"],
                }
            },
        },
    }
}

DatasetId = Annotated[UUID, Path(description="Id of the dataset.")]

router = APIRouter(prefix="/datasets", tags=["datasets"])


@dataclass(frozen=True)
class _Upload:
    """An upload that is about to be received."""

    name: str
    file_format: Format
    chunks: AsyncIterator[bytes]


@router.post(
    "",
    operation_id="createDataset",
    summary="Upload a dataset: CSV, JSON Lines or Parquet",
    status_code=status.HTTP_201_CREATED,
    response_model=DatasetView,
    responses={
        201: {"content": {"application/json": {"example": _EXAMPLE}}},
        **problems.responses(
            BodyTooLarge(limit=2 * 1024**3),
            DatasetTooLarge(limit=2 * 1024**3),
            TooManyDatasetRows(limit=50_000_000),
            DatasetRowsTooLarge(limit=2 * 1024**3),
            QuotaExceeded(limit=20 * 1024**3, used=20 * 1024**3),
            SpoolFull(whose="Your", limit=4 * 1024**3),
            UnsupportedFormat(got="application/pdf"),
            UploadStalled(seconds=30),
            BadUpload(reason="there is no file in the form"),
            BadOptions(option="columns", reason="it is not a JSON object"),
            BadCompression(reason="it is cut off"),
            BadFile(reason="it is empty"),
            BadHeader(line=1, reason="more than one column is called 'a'"),
            BadRow(line=3, reason="3 cells, but there are 2 columns"),
            StorageUnavailable,
        ),
    },
    openapi_extra=_BODY,
)
async def create_dataset(
    request: Request,
    user: DatasetsWriter,
    settings: SettingsDep,
    importer: ImporterDep,
    response: Response,
    name: Annotated[
        CleanStr | None,
        Query(
            min_length=1,
            max_length=MAX_NAME_LENGTH,
            description="Name of the dataset. Default: the file name in the form.",
        ),
    ] = None,
    content_encoding: Annotated[
        str, Header(description="`gzip` for a compressed body. The decompressed file is stored.")
    ] = "identity",
    delimiter: Annotated[
        str | None,
        Query(description="Delimiter of a CSV file: `,` `;` `|` or a tab. Default: detected."),
    ] = None,
    encoding: Annotated[
        str | None,
        Query(
            max_length=50,
            description="Encoding of CSV or JSON Lines, such as `windows-1252`. Default: UTF-8.",
        ),
    ] = None,
    null_values: Annotated[
        list[CleanStr] | None,
        Query(
            max_length=options.MAX_NULL_VALUES,
            description="Texts that count as missing, such as `NA`. Repeat the parameter for several.",
        ),
    ] = None,
    columns: Annotated[
        CleanStr | None,
        Query(
            description="Types of columns, as a JSON object: `number`, `category`, `text`, `boolean`,"
            " `timestamp`, `id` or `ignore`. Default: detected.",
            examples=['{"zip": "category"}'],
        ),
    ] = None,
) -> DatasetView:
    """The body is the file, or a form with one file. If any row is invalid, the whole upload is rejected."""
    allow_body(request.scope, settings.max_dataset_bytes + multipart.OVERHEAD_BYTES)
    is_gzip = _is_gzip(content_encoding)
    upload = await _upload(request, name, is_gzip=is_gzip)
    read_options = upload_options.options(
        upload.file_format, delimiter=delimiter, encoding=encoding, null_values=null_values, columns=columns
    )
    dataset = await importer.import_upload(
        user.id, upload.name, upload.file_format, upload.chunks, is_gzip=is_gzip, options=read_options
    )
    created = views.dataset_view(dataset)
    response.headers["Location"] = created["links"]["self"]
    return created


@router.get(
    "",
    operation_id="listDatasets",
    summary="List your datasets, newest first",
    response_model=DatasetPage,
    responses=problems.responses(InvalidCursor),
)
async def list_datasets(
    user: DatasetsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    name: Annotated[
        CleanStr | None,
        Query(min_length=1, max_length=MAX_NAME_LENGTH, description="Only datasets with this name."),
    ] = None,
    prefix: NamePrefix = None,
) -> DatasetPage:
    """Returns one page of your datasets. Several may have the same name: jobs read the newest."""
    before = wanted.before
    async with database.connection() as connection:
        page = await queries.page(
            connection, user.id, name=name, prefix=prefix, before=before, limit=wanted.limit
        )
    return views.dataset_page(page)


@router.get(
    "/{dataset_id}",
    operation_id="getDataset",
    summary="Get a dataset",
    response_model=DatasetView,
    responses=problems.responses(_NOT_FOUND),
)
async def get_dataset(dataset_id: DatasetId, user: DatasetsReader, database: DatabaseDep) -> DatasetView:
    """Returns a dataset with its columns and their types."""
    async with database.connection() as connection:
        return views.dataset_view(await queries.get(connection, user.id, dataset_id))


@router.get(
    "/{dataset_id}/preview",
    operation_id="previewDataset",
    summary="Preview the first rows",
    response_model=DatasetPreview,
    responses=problems.responses(_NOT_FOUND, _FILE_MISSING, StorageUnavailable),
)
async def preview_dataset(
    dataset_id: DatasetId,
    user: DatasetsReader,
    resources: ResourcesDep,
    rows: Annotated[int, Query(ge=1, le=MAX_PREVIEW_ROWS, description="Number of rows.")] = 20,
) -> Response:
    """Returns the first rows as jobs see them: empty cells are null, dates and timestamps are ISO 8601.

    Of large rows it returns fewer: at least one, then as many as fit in 1 MiB.
    """
    async with resources.database.connection() as connection:
        dataset = await queries.get(connection, user.id, dataset_id)
    first_rows = await asyncio.to_thread(_first_rows, resources.storage, dataset.file.key, rows)
    preview = {"columns": dataset.columns, "rows": first_rows, "total": dataset.rows}
    return Response(msgspec.json.encode(preview), media_type="application/json")


@router.get(
    "/{dataset_id}/profile",
    operation_id="profileDataset",
    summary="Profile a dataset",
    response_model=DatasetProfile,
    responses={
        200: {"content": {"application/json": {"example": _PROFILE_EXAMPLE}}},
        **problems.responses(
            _NOT_FOUND,
            _FILE_MISSING,
            ProfileFailed(dataset_id=_EXAMPLE_ID, seconds=300),
            SpoolFull(whose="Your", limit=4 * 1024**3),
            StorageUnavailable,
        ),
    },
)
async def profile_dataset(dataset_id: DatasetId, user: DatasetsReader, profiler: ProfilerDep) -> Response:
    """Returns types, missing and distinct values, statistics, frequent values and warnings of each column.

    The first request computes the profile, which takes seconds for a million rows; later ones return it.
    """
    return Response(await profiler.profile(user.id, dataset_id), media_type="application/json")


@router.get(
    "/{dataset_id}/content",
    operation_id="downloadDataset",
    summary="Download the uploaded file",
    response_class=Response,
    responses={
        **files.responses(*formats.MEDIA_TYPES.values()),
        **problems.responses(
            _NOT_FOUND,
            _FILE_MISSING,
            PreconditionFailed(etag=f'"{_EXAMPLE["sha256"]}"'),
            RangeNotSatisfiable(bytes=52),
            StorageUnavailable,
        ),
    },
)
async def download_dataset(
    dataset_id: DatasetId, user: DatasetsDownloader, resources: ResourcesDep, conditions: ConditionsDep
) -> Response:
    """Sends the whole file or one range, byte for byte as it was uploaded. The `ETag` is its SHA-256."""
    async with resources.database.connection() as connection:
        dataset = await queries.get(connection, user.id, dataset_id)
    media_type = formats.MEDIA_TYPES[dataset.format]
    key = storage_keys.content_key(dataset_id)
    return await files.respond(
        ServedFile(f'"{dataset.sha256}"', dataset.bytes, media_type),
        lambda start, end: resources.storage.stream(key, start=start, end=end),
        conditions,
        content_headers=files.attachment(_filename(dataset)),
    )


@router.delete(
    "/{dataset_id}",
    operation_id="deleteDataset",
    summary="Delete a dataset",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_NOT_FOUND, DatasetInUse(dataset_id=_EXAMPLE_ID, jobs=1)),
)
async def delete_dataset(
    dataset_id: DatasetId, request: Request, user: DatasetsWriter, resources: ResourcesDep
) -> None:
    """Deletes a dataset and its files. Fails with `dataset_in_use` while an unfinished job uses it."""
    async with resources.database.transaction() as connection:
        await commands.delete(connection, user.id, dataset_id)
        entry = Entry(Action.DATASET_DELETED, ObjectType.DATASET, str(dataset_id))
        await audit.record(connection, actor_of(request, user), entry)
    await stored_files.delete(resources.storage, dataset_id)


def _is_gzip(content_encoding: str) -> bool:
    match content_encoding.strip().lower():
        case "gzip" | "x-gzip":
            return True
        case "" | "identity":
            return False
        case other:
            raise UnsupportedFormat(got=f"encoded with {other[:_MAX_SHOWN]}")


async def _upload(request: Request, name: str | None, *, is_gzip: bool) -> _Upload:
    """The file of a request, and its format. A body that is the file itself is not read yet."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(MULTIPART):
        if name is None:
            raise BadUpload(reason="name the dataset with ?name=")
        return _Upload(_printable(name), formats.find(content_type, name), request.stream())
    if is_gzip:
        raise UnsupportedFormat(got="a form with gzip")
    file = await multipart.open_file(content_type, request.stream())
    file_format = formats.find(file.media_type, file.filename)
    return _Upload(_printable(name or _name_of(file.filename)), file_format, file.chunks)


def _name_of(filename: str) -> str:
    if not filename.strip() or len(filename) > MAX_NAME_LENGTH or not text.is_storable(filename):
        raise BadUpload(reason="the file name cannot be the name of a dataset; set one with ?name=")
    return filename


def _printable(name: str) -> str:
    """The name, if it can be shown in lists and logs. Raises BadUpload."""
    if not name.isprintable() or not name.strip():
        raise BadUpload(reason="the name has control characters or is empty; set another with ?name=")
    return name


def _first_rows(storage: Storage, key: str, count: int) -> list[msgspec.Raw]:
    with (
        stored_files.as_storage_errors(key),
        RowReader(storage.local_path(key) or storage.reader(key)) as reader,
    ):
        return reader.first_rows(count, PREVIEW_BYTES)


def _filename(dataset: Dataset) -> str:
    suffix = f".{dataset.format}"
    return dataset.name if dataset.name.endswith(suffix) else f"{dataset.name}{suffix}"
