"""How stored models are shown."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import msgspec

from app.core import paging
from app.models import builtin
from app.models.schemas import ModelLinks, ModelPage, ModelView, VersionLinks, VersionPage, VersionView
from app.models.versions import ModelVersion, Task, Visibility

LIBRARIES: Final = "library_versions"


def model(row: asyncpg.Record) -> ModelView:
    """A model as somebody sees it who may predict with it."""
    return ModelView(
        name=row["name"],
        owner=row["owner"],
        reference=f"{row['owner']}/{row['name']}",
        visibility=Visibility(row["visibility"]),
        is_own=row["is_own"],
        is_built_in=False,
        versions=row["versions"],
        latest_version=row["latest_version"],
        aliases=row["aliases"],
        created_at=row["created_at"],
        links=_model_links(row["name"], _query(row)),
    )


def built_in_model(version: ModelVersion) -> ModelView:
    """A model that is built in."""
    return ModelView(
        name=version.name,
        owner=None,
        reference=version.name,
        visibility=Visibility.PUBLIC,
        is_own=False,
        is_built_in=True,
        versions=1,
        latest_version=version.version,
        aliases={},
        created_at=None,
        links=_model_links(version.name),
    )


def model_page(rows: Sequence[asyncpg.Record], limit: int) -> ModelPage:
    """A page of at most `limit` models, from one row more than that if there are more."""
    found, is_last = paging.page(rows, limit)
    shown = [model(row) for row in found]
    if is_last and len(shown) < limit:
        # After all others, as if it were the first there ever was.
        return ModelPage(items=[*shown, built_in_model(builtin.SENTIMENT)], next_cursor=None)
    return ModelPage(items=shown, next_cursor=paging.encode_cursor(found[-1]["id"]))


def version(row: asyncpg.Record) -> VersionView:
    """A version as somebody sees it who may predict with it."""
    lineage: Mapping[str, Any] = row["lineage"]
    here = f"/models/{row['name']}/versions/{row['version']}"
    query = _query(row)
    named = row["name"] if row["is_own"] else f"{row['owner']}/{row['name']}"
    return VersionView(
        model=f"{named}@{row['version']}",
        model_id=row["id"],
        name=row["name"],
        owner=row["owner"],
        version=row["version"],
        aliases=row["aliases"],
        runtime=row["runtime"],
        task=None if row["task"] is None else Task(row["task"]),
        columns=row["columns"],
        classes=row["classes"],
        metrics=row["metrics"],
        params=row["params"],
        lineage={name: fact for name, fact in lineage.items() if name != LIBRARIES}
        if row["is_own"]
        else None,
        library_versions=lineage.get(LIBRARIES, {}),
        bytes=row["bytes"],
        sha256=row["sha256"],
        created_at=row["created_at"],
        links=VersionLinks(
            self=f"{here}{query}",
            model=f"/models/{row['name']}{query}",
            artifact=f"{here}/artifact{query}",
        ),
    )


def built_in_version(version: ModelVersion) -> VersionView:
    """The version of a model that is built in."""
    return VersionView(
        model=version.reference,
        model_id=None,
        name=version.name,
        owner=None,
        version=version.version,
        aliases=[],
        runtime=version.runtime,
        task=version.task,
        columns=msgspec.to_builtins(version.columns),
        classes=None if version.classes is None else list(version.classes),
        metrics={},
        params={},
        lineage=None,
        library_versions={},
        bytes=0,
        sha256=None,
        created_at=None,
        links=VersionLinks(
            self=f"/models/{version.name}/versions/{version.version}",
            model=f"/models/{version.name}",
            artifact=None,
        ),
    )


def version_page(rows: Sequence[asyncpg.Record], limit: int) -> VersionPage:
    """A page of at most `limit` versions, from one row more than that if there are more."""
    shown, is_last = paging.page(rows, limit)
    next_cursor = None if is_last else str(shown[-1]["version"])
    return VersionPage(items=[version(row) for row in shown], next_cursor=next_cursor)


def _query(row: asyncpg.Record) -> str:
    """What a link to a model has at its end: whose it is, if it is another's."""
    return "" if row["is_own"] else f"?owner={quote(row['owner'], safe='')}"


def _model_links(name: str, query: str = "") -> ModelLinks:
    return ModelLinks(self=f"/models/{name}{query}", versions=f"/models/{name}/versions{query}")
