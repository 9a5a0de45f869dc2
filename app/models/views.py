"""Models and their versions as the API shows them."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from app.core import paging
from app.core.paging import Page
from app.http.links import link
from app.models import builtin
from app.models.schemas import (
    ModelLinks,
    ModelPage,
    ModelView,
    ScoresView,
    ScoreView,
    VersionLinks,
    VersionPage,
    VersionView,
)
from app.models.versions import Model, ModelVersion, RegisteredVersion, Score, Visibility

LIBRARIES: Final = "library_versions"


def model_view(model: Model) -> ModelView:
    """Return a model, as shown to a user who may predict with it."""
    return ModelView(
        name=model.name,
        owner=model.owner,
        reference=f"{model.owner}/{model.name}",
        visibility=model.visibility,
        is_own=model.is_own,
        is_built_in=False,
        versions=model.versions,
        latest_version=model.latest_version,
        aliases=dict(model.aliases),
        description=model.description,
        tags=dict(model.tags),
        created_at=model.created_at,
        links=_model_links(model.name, _query(model)),
    )


def built_in_model_view(version: ModelVersion) -> ModelView:
    """A built-in model."""
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
        description=builtin.DESCRIPTION,
        tags={},
        created_at=None,
        links=_model_links(version.name),
    )


def model_page(
    page: Page[Model], limit: int, *, with_built_in: bool = True, with_scores: bool = False
) -> ModelPage:
    """A page of at most `limit` models. The built-in model is listed after all others."""
    shown = [model_view(model) for model in page.items]
    if with_scores:
        for view, model in zip(shown, page.items, strict=True):
            view["scores"] = _scores_view(model.scores)
    if not page.has_next and not with_built_in:
        return ModelPage(items=shown, next_cursor=None)
    if not page.has_next and len(shown) < limit:
        built_in = built_in_model_view(builtin.SENTIMENT)
        if with_scores:
            built_in["scores"] = None
        return ModelPage(items=[*shown, built_in], next_cursor=None)
    return ModelPage(items=shown, next_cursor=paging.encode_cursor(page.items[-1].id))


def _scores_view(scores: Sequence[Score] | None) -> ScoresView | None:
    if not scores:
        return None
    metric = scores[0].metric  # a model may have changed its task: those of the latest version are comparable
    found = [ScoreView(version=one.version, value=one.value) for one in scores if one.metric == metric]
    return ScoresView(metric=metric, versions=found[::-1])


def version_view(version: RegisteredVersion) -> VersionView:
    """Return a version, as shown to a user who may predict with it. Only the owner sees its lineage."""
    here = link(f"/models/{version.name}/versions/{version.version}")
    query = _query(version)
    name = version.name if version.is_own else f"{version.owner}/{version.name}"
    lineage = {key: value for key, value in version.lineage.items() if key != LIBRARIES}
    return VersionView(
        model=f"{name}@{version.version}",
        model_id=version.id,
        name=version.name,
        owner=version.owner,
        version=version.version,
        aliases=list(version.aliases),
        runtime=version.runtime,
        task=version.task,
        columns=msgspec.to_builtins(version.columns),
        classes=None if version.classes is None else list(version.classes),
        metrics=dict(version.metrics),
        params=dict(version.params),
        lineage=lineage if version.is_own else None,
        library_versions=version.lineage.get(LIBRARIES, {}),
        description=version.description,
        tags=dict(version.tags),
        bytes=version.file.bytes,
        sha256=version.file.sha256,
        created_at=version.created_at,
        links=VersionLinks(
            self=f"{here}{query}",
            model=link(f"/models/{version.name}{query}"),
            artifact=f"{here}/artifact{query}",
            card=f"{here}/card{query}",
            report=f"{here}/report" if version.is_own and version.has_report else None,
            history=f"{here}/history" if version.is_own and version.has_report else None,
            plots=f"{here}/plots" if version.is_own and version.has_report else None,
        ),
    )


def built_in_version_view(version: ModelVersion) -> VersionView:
    """The version of a built-in model."""
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
        description=builtin.DESCRIPTION,
        tags={},
        bytes=0,
        sha256=None,
        created_at=None,
        links=VersionLinks(
            self=link(f"/models/{version.name}/versions/{version.version}"),
            model=link(f"/models/{version.name}"),
            artifact=None,
            card=None,
            report=None,
            history=None,
            plots=None,
        ),
    )


def version_page(page: Page[RegisteredVersion]) -> VersionPage:
    """A page of versions."""
    return VersionPage(
        items=[version_view(version) for version in page.items],
        next_cursor=page.next_cursor(lambda version: str(version.version)),
    )


def _query(owned: Model | RegisteredVersion) -> str:
    """The query of a link to a model: its owner, unless it is the user's own model."""
    return "" if owned.is_own else f"?owner={quote(owned.owner, safe='')}"


def _model_links(name: str, query: str = "") -> ModelLinks:
    here = link(f"/models/{name}")
    return ModelLinks(self=f"{here}{query}", versions=f"{here}/versions{query}")
