"""Routes of models. Uploads are in `app.jobs.model_uploads`, because a job inspects each file first."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response, status

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth.actors import actor_of
from app.auth.deps import ModelsReader, ModelsWriter
from app.auth.download_tickets.deps import ModelsDownloader
from app.core.errors import FileMissing, InvalidCursor, StorageUnavailable
from app.http import files, filters, problems
from app.http.conditional import ConditionsDep
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.errors import PreconditionFailed, RangeNotSatisfiable
from app.http.files import ServedFile
from app.http.paging import NamePrefix, PageQueryDep
from app.http.routing import BoundedRoute
from app.http.spooled_response import SpooledResponse
from app.models import builtin, commands, formats, queries, storage_keys, views
from app.models.errors import (
    AliasNotFound,
    ArtifactNotFound,
    ModelInUse,
    ModelNotFound,
    NameReserved,
    NotForMlflow,
)
from app.models.mlflow import exporting
from app.models.names import AliasName, ModelName
from app.models.paths import Number, Owner
from app.models.schemas import (
    AliasRequest,
    IncludeInModels,
    ModelChange,
    ModelPage,
    ModelView,
    VersionChange,
    VersionPage,
    VersionView,
)

BINARY: Final = "application/octet-stream"
ZIP: Final = "application/zip"

MAX_SCORES: Final = 20
"""Versions of each model whose scores a list includes."""

# Nine digits always fit in the column.
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_UNKNOWN: Final = ModelNotFound(model="churn")
_UNKNOWN_VERSION: Final = ModelNotFound(model="churn@3")
_EXAMPLE_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_RESERVED: Final = NameReserved(model="sentiment")

router = APIRouter(route_class=BoundedRoute, prefix="/models", tags=["models"])


@router.get(
    "",
    operation_id="listModels",
    summary="List the models that you can predict with",
    response_model=ModelPage,
    responses=problems.responses(InvalidCursor),
)
async def list_models(
    request: Request,
    user: ModelsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    prefix: NamePrefix = None,
    include: Annotated[
        IncludeInModels | None,
        Query(description="`scores` adds the accuracy or R² of the latest versions of each model."),
    ] = None,
) -> ModelPage:
    """Returns your own models, the public models of other users, and the built-in model.

    `tags.KEY=value` selects models with that tag.
    """
    before = wanted.before
    tags = filters.pairs(request, "tags")
    with_scores = include is IncludeInModels.SCORES
    async with database.connection() as connection:
        page = await queries.page(
            connection,
            user.id,
            before=before,
            limit=wanted.limit,
            tags=tags,
            prefix=prefix,
            scores=MAX_SCORES if with_scores else 0,
        )
    with_built_in = tags is None and builtin.SENTIMENT.name.startswith((prefix or "").lower())
    return views.model_page(page, wanted.limit, with_built_in=with_built_in, with_scores=with_scores)


@router.get(
    "/{name}",
    operation_id="getModel",
    summary="Get a model",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN),
)
async def get_model(
    name: ModelName, user: ModelsReader, database: DatabaseDep, owner: Owner = None
) -> ModelView:
    """Returns a model with its aliases. For a public model of another user, pass its `owner`."""
    if owner is None and (built_in := builtin.find(name)) is not None:
        return views.built_in_model_view(built_in)
    async with database.connection() as connection:
        return views.model_view(await queries.get(connection, user.id, name, owner))


@router.patch(
    "/{name}",
    operation_id="changeModel",
    summary="Change the description, the tags or the visibility of a model",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN, _RESERVED),
)
async def change_model(
    name: ModelName, body: ModelChange, request: Request, user: ModelsWriter, database: DatabaseDep
) -> ModelView:
    """What is left out stays. Other users refer to a public model as `owner/name`.

    Jobs that already exist are not affected.
    """
    async with database.transaction() as connection:
        await commands.change(
            connection,
            user.id,
            name,
            visibility=body.visibility,
            description=body.new_description,
            tags=body.new_tags,
        )
        entry = Entry(Action.MODEL_CHANGED, ObjectType.MODEL, name, details=_changes(body))
        await audit.record(connection, actor_of(request, user), entry)
        return views.model_view(await queries.get(connection, user.id, name))


@router.delete(
    "/{name}",
    operation_id="deleteModel",
    summary="Delete a model and all its versions",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN, ModelInUse(model="churn", jobs=1), _RESERVED),
)
async def delete_model(
    name: ModelName, request: Request, user: ModelsWriter, resources: ResourcesDep
) -> None:
    """Fails with `model_in_use` while an unfinished job uses one of the versions."""
    async with resources.database.transaction() as connection:
        keys = await commands.delete(connection, user.id, name)
        entry = Entry(Action.MODEL_DELETED, ObjectType.MODEL, name, details={"versions": len(keys)})
        await audit.record(connection, actor_of(request, user), entry)
    await storage_keys.forget(resources.storage, keys)


@router.get(
    "/{name}/versions",
    operation_id="listModelVersions",
    summary="List the versions of a model, newest first",
    response_model=VersionPage,
    responses=problems.responses(_UNKNOWN, InvalidCursor),
)
async def list_versions(
    name: ModelName,
    request: Request,
    user: ModelsReader,
    database: DatabaseDep,
    wanted: PageQueryDep,
    owner: Owner = None,
) -> VersionPage:
    """Returns one page of versions, each with its metrics. `tags.KEY=value` selects those with that tag."""
    below = _number(wanted.cursor)
    tags = filters.pairs(request, "tags")
    if owner is None and (built_in := builtin.find(name)) is not None:
        shown = [views.built_in_version_view(built_in)] if tags is None else []
        return VersionPage(items=shown, next_cursor=None)
    async with database.connection() as connection:
        model = await queries.get(connection, user.id, name, owner)
        page = await queries.version_page(
            connection, model.id, user.id, below=below, limit=wanted.limit, tags=tags
        )
    return views.version_page(page)


@router.get(
    "/{name}/versions/{number}",
    operation_id="getModelVersion",
    summary="Get a version of a model",
    response_model=VersionView,
    responses=problems.responses(_UNKNOWN_VERSION),
)
async def get_version(
    name: ModelName, number: Number, user: ModelsReader, database: DatabaseDep, owner: Owner = None
) -> VersionView:
    """Returns the inputs, outputs, metrics and lineage of a version."""
    if owner is None and (built_in := builtin.find(f"{name}@{number}")) is not None:
        return views.built_in_version_view(built_in)
    async with database.connection() as connection:
        return views.version_view(await queries.get_version(connection, user.id, name, number, owner))


@router.patch(
    "/{name}/versions/{number}",
    operation_id="changeModelVersion",
    summary="Change the description or the tags of a version",
    response_model=VersionView,
    responses=problems.responses(_UNKNOWN_VERSION, _RESERVED),
)
async def change_version(
    name: ModelName,
    number: Number,
    body: VersionChange,
    request: Request,
    user: ModelsWriter,
    database: DatabaseDep,
) -> VersionView:
    """What is left out stays. The model itself, its metrics and its lineage never change."""
    async with database.transaction() as connection:
        await commands.change_version(
            connection, user.id, name, number, description=body.new_description, tags=body.new_tags
        )
        changed = Entry(
            Action.MODEL_VERSION_CHANGED, ObjectType.MODEL, f"{name}@{number}", details=_changes(body)
        )
        await audit.record(connection, actor_of(request, user), changed)
        return views.version_view(await queries.get_version(connection, user.id, name, number))


@router.delete(
    "/{name}/versions/{number}",
    operation_id="deleteModelVersion",
    summary="Delete a version of a model",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN_VERSION, ModelInUse(model="churn@3", jobs=1), _RESERVED),
)
async def delete_version(
    name: ModelName, number: Number, request: Request, user: ModelsWriter, resources: ResourcesDep
) -> None:
    """Also deletes the aliases that point to it. Its number is not used again.

    Fails with `model_in_use` while an unfinished job uses it.
    """
    async with resources.database.transaction() as connection:
        key = await commands.delete_version(connection, user.id, name, number)
        entry = Entry(Action.MODEL_VERSION_DELETED, ObjectType.MODEL, f"{name}@{number}")
        await audit.record(connection, actor_of(request, user), entry)
    await storage_keys.forget(resources.storage, [key])


@router.get(
    "/{name}/versions/{number}/artifact",
    operation_id="downloadModelVersion",
    summary="Download the file of a version",
    response_class=Response,
    responses={
        **files.responses(BINARY),
        **problems.responses(
            _UNKNOWN_VERSION,
            ArtifactNotFound(model="sentiment"),
            FileMissing(key="artifacts/…/model"),
            PreconditionFailed(etag=f'"{_EXAMPLE_SHA256}"'),
            RangeNotSatisfiable(bytes=48_213),
            StorageUnavailable,
        ),
    },
)
async def download_version(
    name: ModelName,
    number: Number,
    user: ModelsDownloader,
    resources: ResourcesDep,
    conditions: ConditionsDep,
    owner: Owner = None,
) -> Response:
    """Sends the whole file or one range: skops or ONNX, as it was uploaded or as the training job wrote it.

    The `ETag` is its SHA-256.
    """
    if owner is None and builtin.find(f"{name}@{number}") is not None:
        raise ArtifactNotFound(model=name)
    async with resources.database.connection() as connection:
        version = await queries.get_version(connection, user.id, name, number, owner)
    artifact = version.file
    suffix = formats.suffix(version.runtime, formats.load(resources.settings.plugins))
    return await files.respond(
        ServedFile(f'"{artifact.sha256}"', artifact.bytes, BINARY),
        lambda start, end: resources.storage.stream(artifact.key, start=start, end=end),
        conditions,
        content_headers=files.attachment(f"{name}-{number}.{suffix}"),
    )


@router.get(
    "/{name}/versions/{number}/mlflow",
    operation_id="exportModelVersion",
    summary="Download a version as an MLflow model",
    response_class=Response,
    responses={
        200: {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}},
        **problems.responses(
            _UNKNOWN_VERSION,
            ArtifactNotFound(model="sentiment"),
            NotForMlflow(model="churn@3", reason="There is no flavor for constant models."),
            FileMissing(key="artifacts/…/model"),
            StorageUnavailable,
        ),
    },
)
async def export_version(
    name: ModelName, number: Number, user: ModelsDownloader, resources: ResourcesDep, owner: Owner = None
) -> Response:
    """Sends a zip archive of an MLflow model directory: MLmodel, the environment, and the skops or ONNX file.

    It has a `python_function` flavor if the model predicts from a data frame with its columns.
    """
    if owner is None and builtin.find(f"{name}@{number}") is not None:
        raise ArtifactNotFound(model=name)
    async with resources.database.connection() as connection:
        version = await queries.get_version(connection, user.id, name, number, owner)
    file = await exporting.spool(resources.storage, version)
    return SpooledResponse(file, media_type=ZIP, headers=files.attachment(f"{name}-{number}-mlflow.zip"))


@router.put(
    "/{name}/aliases/{alias}",
    operation_id="setModelAlias",
    summary="Point an alias to a version",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN_VERSION, _RESERVED),
)
async def set_alias(
    name: ModelName, alias: AliasName, body: AliasRequest, user: ModelsWriter, database: DatabaseDep
) -> ModelView:
    """A job that refers to `name@alias` uses the version that the alias points to when the job is created."""
    async with database.transaction() as connection:
        await commands.set_own_alias(connection, user.id, name, alias, body.version)
        return views.model_view(await queries.get(connection, user.id, name))


@router.delete(
    "/{name}/aliases/{alias}",
    operation_id="deleteModelAlias",
    summary="Delete an alias",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN, AliasNotFound(model="churn", alias="best"), _RESERVED),
)
async def delete_alias(name: ModelName, alias: AliasName, user: ModelsWriter, database: DatabaseDep) -> None:
    """The version itself is kept."""
    async with database.transaction() as connection:
        await commands.delete_alias(connection, user.id, name, alias)


def _changes(body: ModelChange | VersionChange) -> dict[str, Any]:
    """What the audit log records of a change: which members, and a new visibility."""
    changed: dict[str, Any] = {"changed": sorted(body.model_fields_set)}
    if isinstance(body, ModelChange) and body.visibility is not None:
        changed["visibility"] = body.visibility.value
    return changed


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not _NUMBER.fullmatch(cursor):
        raise InvalidCursor
    return int(cursor)
