"""`POST /models/{name}/versions`: upload a model.

The API loads no model. It receives the file, detects its format by its content, stores it, and creates a job
that inspects it; then it waits for the job, as `GET /jobs/{id}?wait` does. The version is registered when the
job completes, so nothing is lost if the client does not wait for it, or this process dies.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import StringConstraints

from app.auth.deps import ModelsWriter
from app.core import ids
from app.core.errors import AppError, BodyTooLarge, DatabaseUnavailable, StorageUnavailable
from app.core.resources import Resources
from app.datasets.deps import ImporterDep
from app.datasets.importer import DatasetImporter
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import ResourcesDep
from app.http.errors import UnsupportedEncoding
from app.http.middleware import allow_body
from app.jobs import service, views
from app.jobs.deps import (
    IdempotencyKey,
    JobTimesDep,
    QuotaDep,
    Watcher,
    WatcherDep,
    refuse_while_stopping,
    replay_responses,
)
from app.jobs.errors import IdempotencyKeyReused, TooManyActiveJobs
from app.jobs.job import Job
from app.jobs.kinds import inspect_model
from app.jobs.kinds.inspect_model import InspectModelRequest
from app.jobs.model_uploads.inspection_results import model_of
from app.jobs.quota import Quota
from app.jobs.service import Submitted
from app.jobs.states import Priority
from app.jobs.unit_of_work import unit_of_work
from app.models import builtin, formats, onnx_classes, queries, storage_keys
from app.models import views as model_views
from app.models.errors import (
    BrokenModel,
    ClassesNotTaken,
    InspectionCancelled,
    InspectionFailed,
    InspectionPending,
    ModelTooLarge,
    NameReserved,
    UnsafeModel,
)
from app.models.mlflow import unpacking
from app.models.names import AliasName, ModelName
from app.models.routes import BINARY
from app.models.schemas import VersionView
from app.quotas.errors import ModelQuotaExceeded, QuotaExceeded
from app.quotas.service import StorageQuota
from app.uploads import multipart, receiving
from app.uploads.errors import BadCompression, BadUpload, SpoolFull, UploadStalled

MAX_CLASSES: Final = 1000
MAX_CLASS_CHARACTERS: Final = 200

ClassName = Annotated[CleanStr, StringConstraints(min_length=1, max_length=MAX_CLASS_CHARACTERS)]
Classes = Annotated[
    list[ClassName] | None,
    Query(
        min_length=2,
        max_length=MAX_CLASSES,
        description="Classes of an ONNX model whose file does not name them, in the order of its scores.",
    ),
]

FORM: Final = "multipart/form-data"

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_BINARY: Final = {"type": "string", "format": "binary"}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            BINARY: {"schema": _BINARY},
            FORM: {"schema": {"type": "object", "properties": {"file": _BINARY}, "required": ["file"]}},
        },
    }
}

router = APIRouter(prefix="/models", tags=["models"], dependencies=[Depends(refuse_while_stopping)])


@router.post(
    "/{name}/versions",
    operation_id="createModelVersion",
    summary="Upload a model: skops, ONNX, or an MLflow model",
    status_code=status.HTTP_201_CREATED,
    response_model=VersionView,
    responses={
        **replay_responses(VersionView),
        **problems.responses(
            NameReserved(model="sentiment"),
            ModelTooLarge(limit=1024**3),
            QuotaExceeded(limit=20 * 1024**3, used=20 * 1024**3),
            ModelQuotaExceeded(limit=10 * 1024**3, used=10 * 1024**3),
            SpoolFull(whose="Your", limit=4 * 1024**3),
            BodyTooLarge(limit=1024**3),
            BadUpload(reason="there is no file in the form"),
            UploadStalled(seconds=30),
            UnsupportedEncoding(got="br"),
            BadCompression(reason="it is cut off"),
            UnsafeModel(
                reason="The model is not safe to load: it contains types that are not trusted: posix.system."
            ),
            BrokenModel(reason="It is neither a skops file nor an ONNX model."),
            ClassesNotTaken,
            InspectionPending(job_id=_EXAMPLE_ID),
            InspectionCancelled(job_id=_EXAMPLE_ID),
            InspectionFailed(reason="File storage is unreachable."),
            IdempotencyKeyReused,
            TooManyActiveJobs(active=10, limit=10),
            DatabaseUnavailable,
            StorageUnavailable,
        ),
    },
    openapi_extra=_BODY,
)
async def create_model_version(
    name: ModelName,
    request: Request,
    user: ModelsWriter,
    resources: ResourcesDep,
    quota: QuotaDep,
    watcher: WatcherDep,
    importer: ImporterDep,
    times: JobTimesDep,
    alias: Annotated[AliasName | None, Query(description="Alias to point to the new version.")] = None,
    classes: Classes = None,
    key: IdempotencyKey = None,
) -> Response:
    """The body is the file, or a form with one file. A worker inspects it before the version is registered.

    Of a zip archive of an MLflow model directory, the skops or ONNX file beside `MLmodel` is registered.
    Files that can run code when loaded (pickle, joblib, PyTorch, HDF5) are rejected. So are skops files with
    untrusted types, which the error names, and models that fail to predict.
    """
    if name in builtin.NAMES:
        raise NameReserved(model=name)
    allow_body(request.scope, resources.settings.max_model_bytes + multipart.OVERHEAD_BYTES)

    inspection = await _store_upload(request, resources, importer, user.id, name, alias, classes)
    submitted = await _submit(resources, quota, user.id, inspection, key)
    job = await _wait(resources, watcher, user.id, submitted.job_id, times.inspection_seconds)
    model, number = await _registered_model(resources, job, inspection.key)
    async with resources.database.connection() as connection:
        version = model_views.version_view(await queries.get_version(connection, user.id, model, number))
    headers = {"Location": version["links"]["self"]}
    if submitted.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return views.respond(
        version,
        status_code=status.HTTP_200_OK if submitted.is_replay else status.HTTP_201_CREATED,
        headers=headers,
    )


async def _limit(resources: Resources, owner_id: UUID) -> tuple[int, AppError]:
    """Return the maximum size of the next model of an owner, and the error for a larger one."""
    largest = resources.settings.max_model_bytes
    quota = StorageQuota.from_settings(resources.settings)
    async with resources.database.connection() as connection:
        left = await quota.bytes_left(connection, owner_id, for_model=True)
    if left is not None and left[0] < largest:
        return left
    return largest, ModelTooLarge(limit=largest)


async def _store_upload(
    request: Request,
    resources: Resources,
    importer: DatasetImporter,
    owner_id: UUID,
    name: str,
    alias: str | None,
    classes: Sequence[str] | None,
) -> InspectModelRequest:
    """Receive the file, and store it if its format is that of a model."""
    limit, too_large = await _limit(resources, owner_id)
    async with importer.spool(owner_id) as (folder, reserve):
        path = folder / "model"
        spool = receiving.Spool(
            path,
            limit_bytes=limit,
            too_large=too_large,
            is_text=False,
            is_gzip=_is_gzip(request),
            reserve=reserve,
        )
        try:
            await receiving.receive(
                await _chunks(request), spool, stall_seconds=importer.bounds.stall_seconds
            )
        finally:
            spool.close()
        await asyncio.to_thread(
            unpacking.unpack, path, limit_bytes=limit, too_large=too_large, reserve=reserve
        )
        added = formats.load(resources.settings.plugins).values()
        runtime = await asyncio.to_thread(formats.runtime_of, path, added)
        if classes is not None:
            if runtime != formats.ONNX:
                raise ClassesNotTaken
            await asyncio.to_thread(onnx_classes.write, path, classes)
        stored = await resources.storage.put_file(storage_keys.upload_key(ids.new_id()), path)
    return InspectModelRequest(
        name=name,
        runtime=runtime,
        alias=alias,
        bytes=stored.bytes,
        sha256=stored.sha256,
        key=stored.key,
        priority=Priority.HIGH,
    )


def _is_gzip(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return False
    is_form = request.headers.get("content-type", "").lower().startswith(FORM)
    if encoding not in ("gzip", "x-gzip") or is_form:
        raise UnsupportedEncoding(got=f"{encoding[:100]}, in a form" if is_form else encoding[:100])
    return True


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(FORM):
        return request.stream()
    return (await multipart.open_file(content_type, request.stream())).chunks


async def _submit(
    resources: Resources, quota: Quota, owner_id: UUID, inspection: InspectModelRequest, key: str | None
) -> Submitted:
    """Create the job that inspects the file. If there is none, delete the file."""
    kind = inspect_model.KIND
    try:
        async with unit_of_work(resources.hints, quota.admit(owner_id)) as unit:
            submitted = await service.submit(
                unit, resources.settings, owner_id, kind, inspection, key, quota=quota
            )
    except (TooManyActiveJobs, IdempotencyKeyReused, QuotaExceeded):
        # Only these errors make it certain that there is no job. After a lost connection there may be one.
        await storage_keys.forget(resources.storage, [inspection.key])
        raise
    if submitted.is_replay:
        await storage_keys.forget(resources.storage, [inspection.key])
    return submitted


async def _wait(resources: Resources, watcher: Watcher, owner_id: UUID, job_id: UUID, seconds: float) -> Job:
    """Return the job once it has ended. Raises InspectionPending."""
    await watcher.wait_for_end(owner_id, job_id, after=0, timeout_seconds=seconds)
    async with resources.database.connection() as connection:
        job = await service.get_own(connection, owner_id, job_id)
    if not job.has_ended:
        raise InspectionPending(job_id=str(job_id))
    return job


async def _registered_model(resources: Resources, job: Job, key: str) -> tuple[str, int]:
    """Return the version that the job registered. If there is none, delete the file and raise the reason."""
    try:
        return model_of(job)
    except (UnsafeModel, BrokenModel, InspectionCancelled):
        await storage_keys.forget(resources.storage, [key])
        raise
