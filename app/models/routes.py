"""Routes of models. Uploading one is in `app.jobs.model_uploads`: a job inspects the file first."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response, status
from fastapi.responses import StreamingResponse

from app.auth import usernames
from app.auth.deps import CurrentUser
from app.core import paging
from app.core.errors import FileMissing, InvalidCursor, StorageUnavailable
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.routing import BoundedRoute
from app.models import builtin, formats, queries, registry, storage_keys, views
from app.models.errors import (
    AliasNotFound,
    ArtifactNotFound,
    ModelInUse,
    ModelNotFound,
    NameReserved,
)
from app.models.names import AliasName, ModelName
from app.models.schemas import AliasRequest, ModelChange, ModelPage, ModelView, VersionPage, VersionView

BINARY: Final = "application/octet-stream"

# Nine digits always fit into the column.
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_UNKNOWN: Final = ModelNotFound(model="churn")
_UNKNOWN_VERSION: Final = ModelNotFound(model="churn@3")
_RESERVED: Final = NameReserved(model="sentiment")

Owner = Annotated[
    CleanStr | None,
    Query(
        min_length=1,
        max_length=usernames.MAX_LENGTH_AS_TYPED,
        description="Whose public model is meant; by default your own.",
    ),
]
Number = Annotated[int, Path(ge=1, lt=2**31, description="The version's number.")]

router = APIRouter(route_class=BoundedRoute, prefix="/models", tags=["models"])


@router.get(
    "",
    operation_id="listModels",
    summary="The models that you can predict with",
    response_model=ModelPage,
    responses=problems.responses(InvalidCursor),
)
async def list_models(
    user: CurrentUser,
    database: DatabaseDep,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ModelPage:
    """Your own, those that others have made public, and the one that is built in."""
    before = None if cursor is None else paging.decode_cursor(cursor)
    async with database.connection() as connection:
        rows = await queries.page(connection, user.id, before=before, limit=limit + 1)
    return views.model_page(rows, limit)


@router.get(
    "/{name}",
    operation_id="getModel",
    summary="One model",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN),
)
async def get_model(
    name: ModelName, user: CurrentUser, database: DatabaseDep, owner: Owner = None
) -> ModelView:
    """Its versions and aliases. A name means your own model; another user's public one needs its `owner`."""
    if owner is None and (built_in := builtin.find(name)) is not None:
        return views.built_in_model(built_in)
    async with database.connection() as connection:
        return views.model(await queries.get(connection, user.id, name, owner))


@router.patch(
    "/{name}",
    operation_id="changeModel",
    summary="Show a model to all users, or only to you",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN, _RESERVED),
)
async def change_model(
    name: ModelName, body: ModelChange, user: CurrentUser, database: DatabaseDep
) -> ModelView:
    """Others name a public model with you as its owner. Jobs that were sent before go on as they were."""
    async with database.transaction() as connection:
        await registry.show(connection, user.id, name, body.visibility)
        return views.model(await queries.get(connection, user.id, name))


@router.delete(
    "/{name}",
    operation_id="deleteModel",
    summary="Delete a model with all its versions",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN, ModelInUse(model="churn", jobs=1), _RESERVED),
)
async def delete_model(name: ModelName, user: CurrentUser, resources: ResourcesDep) -> None:
    """Not while a job that has not ended needs one of them."""
    async with resources.database.transaction() as connection:
        keys = await registry.delete(connection, user.id, name)
    await storage_keys.forget(resources.storage, keys)


@router.get(
    "/{name}/versions",
    operation_id="listModelVersions",
    summary="The versions of a model, newest first",
    response_model=VersionPage,
    responses=problems.responses(_UNKNOWN, InvalidCursor),
)
async def list_versions(
    name: ModelName,
    user: CurrentUser,
    database: DatabaseDep,
    owner: Owner = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> VersionPage:
    """One page of versions, each with its metrics."""
    below = _number(cursor)
    if owner is None and (built_in := builtin.find(name)) is not None:
        return VersionPage(items=[views.built_in_version(built_in)], next_cursor=None)
    async with database.connection() as connection:
        model = await queries.get(connection, user.id, name, owner)
        rows = await queries.versions(connection, model, user.id, below=below, limit=limit + 1)
    return views.version_page(rows, limit)


@router.get(
    "/{name}/versions/{number}",
    operation_id="getModelVersion",
    summary="One version of a model",
    response_model=VersionView,
    responses=problems.responses(_UNKNOWN_VERSION),
)
async def get_version(
    name: ModelName, number: Number, user: CurrentUser, database: DatabaseDep, owner: Owner = None
) -> VersionView:
    """What it takes and gives, how good it is, and where it comes from."""
    if owner is None and (built_in := builtin.find(f"{name}@{number}")) is not None:
        return views.built_in_version(built_in)
    async with database.connection() as connection:
        return views.version(await queries.get_version(connection, user.id, name, number, owner))


@router.delete(
    "/{name}/versions/{number}",
    operation_id="deleteModelVersion",
    summary="Delete a version of a model",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN_VERSION, ModelInUse(model="churn@3", jobs=1), _RESERVED),
)
async def delete_version(name: ModelName, number: Number, user: CurrentUser, resources: ResourcesDep) -> None:
    """With it go the aliases that mean it; its number is not given again. Not while a job needs it."""
    async with resources.database.transaction() as connection:
        key = await registry.delete_version(connection, user.id, name, number)
    await storage_keys.forget(resources.storage, [key])


@router.get(
    "/{name}/versions/{number}/artifact",
    operation_id="downloadModelVersion",
    summary="The file of a version",
    response_class=Response,
    responses={
        200: {"content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}},
        **problems.responses(
            _UNKNOWN_VERSION,
            ArtifactNotFound(model="sentiment"),
            FileMissing(key="artifacts/…/model"),
            StorageUnavailable,
        ),
    },
)
async def download_version(
    name: ModelName, number: Number, user: CurrentUser, resources: ResourcesDep, owner: Owner = None
) -> Response:
    """As it was brought, or as a training job has written it: skops or ONNX. Its ETag is the SHA-256."""
    if owner is None and builtin.find(f"{name}@{number}") is not None:
        raise ArtifactNotFound(model=name)
    async with resources.database.connection() as connection:
        row = await queries.get_version(connection, user.id, name, number, owner)
    blocks = resources.storage.stream(row["artifact_key"])
    suffix = formats.suffix(row["runtime"], formats.load(resources.settings.plugins))
    return StreamingResponse(
        await _begun(blocks),
        headers={
            "ETag": f'"{row["sha256"]}"',
            "Content-Length": str(row["bytes"]),
            "Content-Disposition": f'attachment; filename="{name}-{number}.{suffix}"',
            "X-Content-Type-Options": "nosniff",
        },
        media_type=BINARY,
    )


@router.put(
    "/{name}/aliases/{alias}",
    operation_id="setModelAlias",
    summary="Let an alias mean a version",
    response_model=ModelView,
    responses=problems.responses(_UNKNOWN_VERSION, _RESERVED),
)
async def set_alias(
    name: ModelName, alias: AliasName, body: AliasRequest, user: CurrentUser, database: DatabaseDep
) -> ModelView:
    """A job that asks for `name@alias` gets the version that it means when the job is sent."""
    async with database.transaction() as connection:
        await registry.point_own(connection, user.id, name, alias, body.version)
        return views.model(await queries.get(connection, user.id, name))


@router.delete(
    "/{name}/aliases/{alias}",
    operation_id="deleteModelAlias",
    summary="Forget an alias",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN, AliasNotFound(model="churn", alias="best"), _RESERVED),
)
async def delete_alias(name: ModelName, alias: AliasName, user: CurrentUser, database: DatabaseDep) -> None:
    """The version stays."""
    async with database.transaction() as connection:
        await registry.drop_alias(connection, user.id, name, alias)


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not _NUMBER.fullmatch(cursor):
        raise InvalidCursor
    return int(cursor)


async def _begun(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same blocks, the first of them read: what is wrong with the file is known before the answer."""
    first = await anext(blocks, b"")

    async def all_blocks() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return all_blocks()
