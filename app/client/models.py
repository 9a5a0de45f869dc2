"""Models: uploads, lists, shows, changes, downloads and deletes them, as flows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict
from urllib.parse import quote

from app.client import downloading, options
from app.client.creation import checked_key, create_job
from app.client.dataset_values import AnyDataset, Dataset
from app.client.datasets import UPLOAD_SECONDS
from app.client.errors import HeadraceError, Invalid, NotFound
from app.client.exchange import Exchange, json_request, parse_json
from app.client.model_values import (
    Algorithm,
    AnyModel,
    Evaluation,
    Model,
    ModelReference,
    ModelVersion,
    model_reference,
)
from app.client.options import JobOptions
from app.client.steps import Flow, Pause, Request
from app.client.values import Submitted
from app.client.waiting import wait

Visibility = Literal["public", "private"]
PlotFormat = Literal["png", "svg"]

PLOT_SECONDS: Final = 70.0
"""Read timeout of a plot: the server draws one after the other, and gives up after a minute."""


class VersionChanges(TypedDict, total=False):
    """Changes of a version: what is left out stays, None removes it. `tags` replace all previous ones."""

    description: str | None
    tags: Mapping[str, str] | None


class ModelChanges(VersionChanges, total=False):
    """Changes of a model."""

    visibility: Visibility


_MEDIA_TYPE: Final = "application/octet-stream"


class Models:
    """The methods of the clients for models, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def list(
        self, page_size: int, tags: Mapping[str, str] | None, prefix: str | None, include_scores: bool
    ) -> Flow[None]:
        """Emit models, newest first."""
        filters = {
            **_tags(tags),
            **options.prefix_param(prefix),
            **({"include": "scores"} if include_scores else {}),
        }
        return self._exchange.pages("/models", Model.parse, page_size, filters)

    def get(self, model: AnyModel) -> Flow[Model]:
        """Fetch a model."""
        reference = ModelReference.parse(model)
        return self._fetch(reference)

    def versions(self, model: AnyModel, page_size: int, tags: Mapping[str, str] | None) -> Flow[None]:
        """Emit the versions of a model, newest first."""
        reference = ModelReference.parse(model)
        return self._exchange.pages(
            f"{_path(reference.name)}/versions",
            ModelVersion.parse,
            page_size,
            {**_owner(reference), **_tags(tags)},
        )

    def version(self, model: AnyModel) -> Flow[ModelVersion]:
        """Fetch a version: the one with the number or the alias of the reference, or the latest."""
        reference = ModelReference.parse(model)
        path = yield from self._version_path(reference)
        request = Request("GET", path, params=_owner(reference))
        return (yield from self._exchange.read(ModelVersion.parse, request))

    def evaluations(self, model: AnyModel, dataset: str | Dataset | None, page_size: int) -> Flow[None]:
        """Emit the evaluations of a model, or of the version that the reference names, newest first."""
        reference = ModelReference.parse(model)
        filters = _owner(reference)
        if reference.version is not None:
            filters["version"] = str((yield from self._number(reference)))
        if dataset is not None:
            filters["dataset_id"] = dataset.id if isinstance(dataset, Dataset) else dataset
        path = f"{_path(reference.name)}/evaluations"
        yield from self._exchange.pages(path, Evaluation.parse, page_size, filters)

    def upload(
        self,
        name: str,
        path: str | Path,
        alias: str | None,
        classes: Sequence[str] | None,
        idempotency_key: str | None,
    ) -> Flow[ModelVersion]:
        """Upload a file, and wait for its inspection, also if the server stops waiting."""
        if isinstance(classes, str):
            raise TypeError("classes must be a list of strings, not a string")
        request = Request(
            "POST",
            f"{_path(name)}/versions",
            params=_given(alias=alias, classes=None if classes is None else [*classes]),
            headers={"content-type": _MEDIA_TYPE, "idempotency-key": checked_key(idempotency_key)},
            file=Path(path),
            read_seconds=UPLOAD_SECONDS,
        )
        retry_state = self._exchange.retry_state()
        while True:
            try:
                response = yield from self._exchange.once(request)
            except HeadraceError as error:
                if error.code == "inspection_pending":
                    return (yield from self._inspected(error.facts["job_id"]))
                yield Pause(retry_state.pause_seconds(error))
            else:
                return parse_json(ModelVersion.parse, response)

    def download(self, model: AnyModel) -> Flow[None]:
        """Emit the bytes of the file of a version."""
        reference = ModelReference.parse(model)
        path = yield from self._version_path(reference)
        request = Request("GET", f"{path}/artifact", params=_owner(reference))
        yield from downloading.file(self._exchange, request)

    def report(self, model: AnyModel) -> Flow[Mapping[str, Any]]:
        """Fetch the report of a version of the user."""
        path = yield from self._version_path(_own(model, "read the report of"))
        return (yield from self._exchange.read(dict, Request("GET", f"{path}/report")))

    def history(self, model: AnyModel) -> Flow[Mapping[str, Any]]:
        """Fetch the epochs of the training of a version of the user."""
        path = yield from self._version_path(_own(model, "read the history of"))
        return (yield from self._exchange.read(dict, Request("GET", f"{path}/history")))

    def card(self, model: AnyModel) -> Flow[str]:
        """Fetch the model card of a version, as Markdown."""
        reference = ModelReference.parse(model)
        path = yield from self._version_path(reference)
        response = yield from self._exchange.ask(Request("GET", f"{path}/card", params=_owner(reference)))
        return response.body.decode()

    def plots(self, model: AnyModel) -> Flow[Sequence[str]]:
        """Fetch the names of the plots of a version of the user."""
        path = yield from self._version_path(_own(model, "read the report of"))
        return (
            yield from self._exchange.read(
                lambda document: [item["plot"] for item in document["items"]], Request("GET", f"{path}/plots")
            )
        )

    def plot(self, model: AnyModel, plot: str, file_format: PlotFormat) -> Flow[bytes]:
        """Fetch the file of a plot."""
        path = yield from self._version_path(_own(model, "read the report of"))
        request = Request(
            "GET",
            f"{path}/plots/{quote(plot, safe='')}",
            params={"format": file_format},
            read_seconds=PLOT_SECONDS,
        )
        response = yield from self._exchange.ask(request)
        return response.body

    def set_alias(self, model: AnyModel, alias: str) -> Flow[Model]:
        """Point an alias to a version."""
        reference = _own(model)
        number = yield from self._number(reference)
        path = f"{_path(reference.name)}/aliases/{quote(alias, safe='')}"
        request = json_request("PUT", path, {"version": number}, {})
        return (yield from self._exchange.read(Model.parse, request))

    def delete_alias(self, model: AnyModel, alias: str) -> Flow[None]:
        """Delete an alias; its version is kept."""
        path = f"{_path(_own(model).name)}/aliases/{quote(alias, safe='')}"
        return self._exchange.delete(Request("DELETE", path))

    def change(self, model: AnyModel, changes: ModelChanges) -> Flow[Model]:
        """Change the visibility, the description or the tags of a model."""
        request = json_request("PATCH", _path(_own(model).name), changes, {})
        return self._exchange.read(Model.parse, request)

    def change_version(self, model: AnyModel, changes: VersionChanges) -> Flow[ModelVersion]:
        """Change the description or the tags of a version."""
        path = yield from self._version_path(_own(model))
        request = json_request("PATCH", path, changes, {})
        return (yield from self._exchange.read(ModelVersion.parse, request))

    def export(self, model: AnyModel) -> Flow[None]:
        """Emit the bytes of a version as an MLflow model directory in a zip archive."""
        reference = ModelReference.parse(model)
        path = yield from self._version_path(reference)
        request = Request("GET", f"{path}/mlflow", params=_owner(reference))
        yield from downloading.file(self._exchange, request)

    def convert(
        self, model: AnyModel, name: str | None, dataset: AnyDataset | None, more: JobOptions
    ) -> Flow[Submitted]:
        """Submit a conversion to ONNX."""
        members, key = options.split_options(more)
        named = {} if name is None else {"name": name}
        body = {"model": model_reference(model), **named, **options.dataset_member(dataset), **members}
        return create_job(self._exchange, "convert-model", body, key)

    def delete(self, model: AnyModel) -> Flow[None]:
        """Delete a model with all its versions. Raises ValueError if the reference names a version."""
        reference = _own(model)
        if reference.version is not None:
            raise ValueError(f"{reference.name}@{reference.version} is a version: delete it as one")
        return self._exchange.delete(Request("DELETE", _path(reference.name)))

    def delete_version(self, model: AnyModel) -> Flow[None]:
        """Delete a version with its aliases. Raises ValueError if the reference names none."""
        reference = _own(model)
        if reference.version is None:
            raise ValueError(f"name the version of {reference.name} to delete, such as {reference.name}@1")
        path = yield from self._version_path(reference)
        yield from self._exchange.delete(Request("DELETE", path))

    def algorithms(self) -> Flow[Sequence[Algorithm]]:
        """Fetch the algorithms of trainings."""
        return self._exchange.read(
            lambda document: [Algorithm.parse(item) for item in document["items"]],
            Request("GET", "/algorithms"),
        )

    def _fetch(self, reference: ModelReference) -> Flow[Model]:
        request = Request("GET", _path(reference.name), params=_owner(reference))
        return self._exchange.read(Model.parse, request)

    def _version_path(self, reference: ModelReference) -> Flow[str]:
        number = yield from self._number(reference)
        return f"{_path(reference.name)}/versions/{number}"

    def _number(self, reference: ModelReference) -> Flow[int]:
        """The number of the version that a reference means. Raises NotFound."""
        version = reference.version
        if version is not None and version.isascii() and version.isdecimal():
            return int(version)
        model = yield from self._fetch(reference)
        number = model.latest_version if version is None else model.aliases.get(version)
        if number is None:
            missing = "no versions" if version is None else f"no alias {version}"
            raise NotFound(f"The model {model.name} has {missing}.", status=404, code="model_not_found")
        return number

    def _inspected(self, job: str) -> Flow[ModelVersion]:
        """Wait for an inspection, and return the version that it registered."""
        latest = yield from wait(self._exchange, job, None)
        result = latest.result or {}
        if "model" in result:
            return (yield from self.version(result["model"]))
        if refused := result.get("refused"):
            raise Invalid(refused["message"], status=422, code=refused["code"], facts=refused)
        reason = latest.status if latest.error is None else latest.error.message
        raise HeadraceError(
            f"The inspection failed: {reason}", code="inspection_failed", facts={"job_id": job}
        )


def _path(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def _owner(reference: ModelReference) -> dict[str, str]:
    return {} if reference.owner is None else {"owner": reference.owner}


def _tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    return {f"tags.{key}": value for key, value in (tags or {}).items()}


def _own(model: AnyModel, to_do: str = "change") -> ModelReference:
    """The reference to a model of the user. Raises ValueError for one that names an owner."""
    reference = ModelReference.parse(model)
    if reference.owner is not None:
        raise ValueError(
            f"only its owner can {to_do} {reference.owner}/{reference.name}:"
            " name a model of yours without its owner"
        )
    return reference


def _given(**params: str | Sequence[str] | None) -> dict[str, str | Sequence[str]]:
    return {name: value for name, value in params.items() if value is not None}
