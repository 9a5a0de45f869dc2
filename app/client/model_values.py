"""Models and their versions as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.client.data import instant


@dataclass(frozen=True, slots=True)
class Model:
    """A model that you can predict with. `reference` names it with its owner: the latest version.

    >>> [model.name for model in client.models()]
    ['sentiment']
    """

    name: str
    owner: str | None
    reference: str
    latest_version: int | None
    aliases: Mapping[str, int]
    visibility: str | None
    description: str | None
    tags: Mapping[str, str]
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    scores: Mapping[str, Any] | None = None
    """The `metric`, and its value for each of `versions`; None if not asked for, or not measured."""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Model":
        """Parse the JSON document."""
        return cls(
            name=document["name"],
            owner=document.get("owner"),
            reference=document.get("reference", document["name"]),
            latest_version=document.get("latest_version"),
            aliases=document.get("aliases") or {},
            visibility=document.get("visibility"),
            description=document.get("description"),
            tags=document.get("tags") or {},
            created_at=instant(document, "created_at"),
            raw=document,
            scores=document.get("scores"),
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model. `reference` names it: `churn@3`.

    >>> version = client.model_version("churn@best")
    >>> version.reference, version.metrics["accuracy"]
    ('churn@3', 0.91)
    """

    reference: str
    name: str
    owner: str | None
    version: int
    aliases: Sequence[str]
    runtime: str
    task: str | None
    columns: Mapping[str, str] | None
    """The types of the input columns, in the model's order; None if it does not name them."""
    classes: Sequence[str] | None
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    lineage: Mapping[str, Any]
    """The job, the dataset and the code that it comes from; empty for the model of another user."""
    description: str | None
    tags: Mapping[str, str]
    bytes: int
    sha256: str | None
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "ModelVersion":
        """Parse the JSON document."""
        columns = document.get("columns")
        return cls(
            reference=document["model"],
            name=document["name"],
            owner=document.get("owner"),
            version=int(document["version"]),
            aliases=tuple(document.get("aliases") or ()),
            runtime=document.get("runtime", ""),
            task=document.get("task"),
            columns=None if columns is None else {column["name"]: column["type"] for column in columns},
            classes=document.get("classes"),
            metrics=document.get("metrics") or {},
            params=document.get("params") or {},
            lineage=document.get("lineage") or {},
            description=document.get("description"),
            tags=document.get("tags") or {},
            bytes=int(document.get("bytes", 0)),
            sha256=document.get("sha256"),
            created_at=instant(document, "created_at"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one job has measured. It stays when the job is deleted.

    >>> [(found.model, found.metrics["accuracy"]) for found in client.evaluations("churn")]
    [('churn@3', 0.91), ('churn@2', 0.88)]
    """

    job_id: str
    model: str
    version: int
    dataset_id: str | None
    dataset: str | None
    """The name of the dataset; None if it was deleted, or the rows were in the request."""
    target: str
    rows: int
    errors: int
    metrics: Mapping[str, Any]
    evaluated_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Evaluation":
        """Parse the JSON document."""
        return cls(
            job_id=document["job_id"],
            model=document["model"],
            version=int(document["version"]),
            dataset_id=document.get("dataset_id"),
            dataset=document.get("dataset"),
            target=document.get("target", ""),
            rows=int(document.get("rows", 0)),
            errors=int(document.get("errors", 0)),
            metrics=document.get("metrics") or {},
            evaluated_at=instant(document, "evaluated_at"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An algorithm of trainings. `params` is the JSON Schema of its hyperparameters."""

    name: str
    tasks: Sequence[str]
    sentence: str
    params: Mapping[str, Any] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Algorithm":
        """Parse the JSON document."""
        return cls(
            name=document["name"],
            tasks=tuple(document["tasks"]),
            sentence=document.get("sentence", ""),
            params=document.get("params") or {},
            raw=document,
        )


AnyModel = str | Model | ModelVersion
"""A model, a version, or a reference: `name`, `name@version`, `name@alias`, each also as `owner/name`."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """The parts of a reference. `version` is a number or an alias; None means the latest version."""

    name: str
    owner: str | None
    version: str | None

    @classmethod
    def parse(cls, model: AnyModel) -> "ModelReference":
        """Parse a reference. Raises ValueError."""
        if isinstance(model, Model):
            return cls(model.name, None if model.raw.get("is_own") else model.owner, None)
        text = model_reference(model)
        owner, slash, rest = text.rpartition("/")
        name, at, version = rest.partition("@")
        if not name or (slash and not owner) or (at and not version):
            raise ValueError(f"{text!r} is not a model: write name, name@version, name@alias or owner/name")
        return cls(name, owner or None, version or None)


def model_reference(model: AnyModel) -> str:
    """The text that names a model in a request."""
    return model if isinstance(model, str) else model.reference
