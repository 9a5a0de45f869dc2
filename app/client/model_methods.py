"""The methods of both clients for models: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from app.client.dataset_values import AnyDataset, Dataset
from app.client.methods import AsyncMethods, Methods
from app.client.model_values import Algorithm, AnyModel, Evaluation, Model, ModelVersion
from app.client.models import ModelChanges, PlotFormat, VersionChanges
from app.client.options import JobOptions
from app.client.values import Submitted


class ModelMethods(Methods):
    """The methods of `Headrace` for models."""

    def models(
        self,
        *,
        tags: Mapping[str, str] | None = None,
        prefix: str | None = None,
        include_scores: bool = False,
        page_size: int = 100,
    ) -> Iterator[Model]:
        """Iterate over the models that you can predict with, newest first.

        `tags` and `prefix`, the beginning of the name, select some. With `include_scores`, each has the
        accuracy or R² of its latest versions.
        """
        return self._iterate(self._core.models.list(page_size, tags, prefix, include_scores))

    def model(self, model: AnyModel) -> Model:
        """Return a model with its aliases, by `name` or `owner/name`. Raises NotFound."""
        return self._run(self._core.models.get(model))

    def model_versions(
        self, model: AnyModel, *, tags: Mapping[str, str] | None = None, page_size: int = 100
    ) -> Iterator[ModelVersion]:
        """Iterate over the versions of a model, newest first; with `tags`, those that have them."""
        return self._iterate(self._core.models.versions(model, page_size, tags))

    def model_version(self, model: AnyModel) -> ModelVersion:
        """Return a version, such as `churn@3` or `churn@best`; `churn` means the latest. Raises NotFound."""
        return self._run(self._core.models.version(model))

    def evaluations(
        self, model: AnyModel, *, dataset: str | Dataset | None = None, page_size: int = 100
    ) -> Iterator[Evaluation]:
        """Iterate over your evaluations of a model, or of one version such as `churn@3`, newest first.

        `dataset` is a dataset or its id: only evaluations on it.
        """
        return self._iterate(self._core.models.evaluations(model, dataset, page_size))

    def upload_model(
        self,
        name: str,
        path: str | Path,
        *,
        alias: str | None = None,
        classes: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> ModelVersion:
        """Upload a skops or ONNX file as the next version of a model, and wait for its inspection.

            version = client.upload_model("churn", "churn.onnx", alias="best", classes=["no", "yes"])

        `classes` names the classes of an ONNX model whose file does not. Raises Invalid with the reason if
        the file is refused. Retried as `submit` is.
        """
        flow = self._core.models.upload(name, path, alias, classes, idempotency_key)
        return self._run(flow)

    def download_model(self, model: AnyModel) -> Iterator[bytes]:
        """Stream the file of a version in chunks of any size: skops or ONNX."""
        return self._iterate(self._core.models.download(model))

    def model_report(self, model: AnyModel) -> Mapping[str, Any]:
        """Return the report of a training: curves, importance of columns, scores of each class.

            print(client.model_report("churn@3")["importance"]["columns"][0])

        Raises NotFound for a version that was uploaded.
        """
        return self._run(self._core.models.report(model))

    def model_history(self, model: AnyModel) -> Mapping[str, Any]:
        """Return the epochs of the training of a version: losses, and accuracy or R², in `items`.

        Raises NotFound for a version that was uploaded.
        """
        return self._run(self._core.models.history(model))

    def model_card(self, model: AnyModel) -> str:
        """Return the model card of a version, as Markdown."""
        return self._run(self._core.models.card(model))

    def model_plots(self, model: AnyModel) -> Sequence[str]:
        """Return the names of the plots of a version, such as `roc`. Raises NotFound as `model_report`."""
        return self._run(self._core.models.plots(model))

    def model_plot(self, model: AnyModel, plot: str, *, format: PlotFormat = "png") -> bytes:
        """Return the file of a plot, such as `model_plot("churn@3", "roc", format="svg")`."""
        return self._run(self._core.models.plot(model, plot, format))

    def set_alias(self, model: AnyModel, alias: str) -> Model:
        """Point an alias to a version of yours: `set_alias("churn@3", "prod")`; returns the model."""
        return self._run(self._core.models.set_alias(model, alias))

    def delete_alias(self, model: AnyModel, alias: str) -> None:
        """Delete an alias; its version is kept. Raises NotFound."""
        self._run(self._core.models.delete_alias(model, alias))

    def change_model(self, model: AnyModel, **changes: Unpack[ModelChanges]) -> Model:
        """Change the visibility, the description or the tags of a model of yours.

        client.change_model("churn", visibility="public", tags={"team": "risk"})
        """
        return self._run(self._core.models.change(model, changes))

    def change_model_version(self, model: AnyModel, **changes: Unpack[VersionChanges]) -> ModelVersion:
        """Change the description or the tags of a version: `change_model_version("churn@3", tags=…)`."""
        return self._run(self._core.models.change_version(model, changes))

    def export_model(self, model: AnyModel) -> Iterator[bytes]:
        """Stream a version as an MLflow model directory in a zip archive. Raises Invalid if it has none."""
        return self._iterate(self._core.models.export(model))

    def convert_model(
        self,
        model: AnyModel,
        *,
        name: str | None = None,
        dataset: AnyDataset | None = None,
        **options: Unpack[JobOptions],
    ) -> Submitted:
        """Submit the conversion of a scikit-learn version to ONNX, registered if it predicts the same.

        Both models predict rows of the `dataset`, or rows made for this. Raises Invalid for a model that
        cannot be converted. Retried as `submit` is.
        """
        return self._run(self._core.models.convert(model, name, dataset, options))

    def delete_model(self, model: AnyModel) -> None:
        """Delete a model of yours with all its versions. Raises Conflict while a job uses one of them."""
        self._run(self._core.models.delete(model))

    def delete_model_version(self, model: AnyModel) -> None:
        """Delete one version with its aliases: `delete_model_version("churn@3")`. Raises Conflict."""
        self._run(self._core.models.delete_version(model))

    def algorithms(self) -> Sequence[Algorithm]:
        """Return the algorithms that `train` takes, with the schema of their hyperparameters."""
        return self._run(self._core.models.algorithms())


class AsyncModelMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for models."""

    def models(
        self,
        *,
        tags: Mapping[str, str] | None = None,
        prefix: str | None = None,
        include_scores: bool = False,
        page_size: int = 100,
    ) -> AsyncIterator[Model]:
        """Iterate over the models that you can predict with, newest first.

        `tags` and `prefix`, the beginning of the name, select some. With `include_scores`, each has the
        accuracy or R² of its latest versions.
        """
        return self._iterate(self._core.models.list(page_size, tags, prefix, include_scores))

    async def model(self, model: AnyModel) -> Model:
        """Return a model with its aliases, by `name` or `owner/name`. Raises NotFound."""
        return await self._run(self._core.models.get(model))

    def model_versions(
        self, model: AnyModel, *, tags: Mapping[str, str] | None = None, page_size: int = 100
    ) -> AsyncIterator[ModelVersion]:
        """Iterate over the versions of a model, newest first; with `tags`, those that have them."""
        return self._iterate(self._core.models.versions(model, page_size, tags))

    async def model_version(self, model: AnyModel) -> ModelVersion:
        """Return a version, such as `churn@3` or `churn@best`; `churn` means the latest. Raises NotFound."""
        return await self._run(self._core.models.version(model))

    def evaluations(
        self, model: AnyModel, *, dataset: str | Dataset | None = None, page_size: int = 100
    ) -> AsyncIterator[Evaluation]:
        """Iterate over your evaluations of a model, or of one version such as `churn@3`, newest first.

        `dataset` is a dataset or its id: only evaluations on it.
        """
        return self._iterate(self._core.models.evaluations(model, dataset, page_size))

    async def upload_model(
        self,
        name: str,
        path: str | Path,
        *,
        alias: str | None = None,
        classes: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> ModelVersion:
        """Upload a skops or ONNX file as the next version of a model, and wait for its inspection.

            version = await client.upload_model("churn", "churn.onnx", alias="best", classes=["no", "yes"])

        `classes` names the classes of an ONNX model whose file does not. Raises Invalid with the reason if
        the file is refused. Retried as `submit` is.
        """
        flow = self._core.models.upload(name, path, alias, classes, idempotency_key)
        return await self._run(flow)

    def download_model(self, model: AnyModel) -> AsyncIterator[bytes]:
        """Stream the file of a version in chunks of any size: skops or ONNX."""
        return self._iterate(self._core.models.download(model))

    async def model_report(self, model: AnyModel) -> Mapping[str, Any]:
        """Return the report of a training: curves, importance of columns, scores of each class.

            print((await client.model_report("churn@3"))["importance"]["columns"][0])

        Raises NotFound for a version that was uploaded.
        """
        return await self._run(self._core.models.report(model))

    async def model_history(self, model: AnyModel) -> Mapping[str, Any]:
        """Return the epochs of the training of a version: losses, and accuracy or R², in `items`.

        Raises NotFound for a version that was uploaded.
        """
        return await self._run(self._core.models.history(model))

    async def model_card(self, model: AnyModel) -> str:
        """Return the model card of a version, as Markdown."""
        return await self._run(self._core.models.card(model))

    async def model_plots(self, model: AnyModel) -> Sequence[str]:
        """Return the names of the plots of a version, such as `roc`. Raises NotFound as `model_report`."""
        return await self._run(self._core.models.plots(model))

    async def model_plot(self, model: AnyModel, plot: str, *, format: PlotFormat = "png") -> bytes:
        """Return the file of a plot, such as `model_plot("churn@3", "roc", format="svg")`."""
        return await self._run(self._core.models.plot(model, plot, format))

    async def set_alias(self, model: AnyModel, alias: str) -> Model:
        """Point an alias to a version of yours: `set_alias("churn@3", "prod")`; returns the model."""
        return await self._run(self._core.models.set_alias(model, alias))

    async def delete_alias(self, model: AnyModel, alias: str) -> None:
        """Delete an alias; its version is kept. Raises NotFound."""
        await self._run(self._core.models.delete_alias(model, alias))

    async def change_model(self, model: AnyModel, **changes: Unpack[ModelChanges]) -> Model:
        """Change the visibility, the description or the tags of a model of yours.

        await client.change_model("churn", visibility="public", tags={"team": "risk"})
        """
        return await self._run(self._core.models.change(model, changes))

    async def change_model_version(self, model: AnyModel, **changes: Unpack[VersionChanges]) -> ModelVersion:
        """Change the description or the tags of a version: `change_model_version("churn@3", tags=…)`."""
        return await self._run(self._core.models.change_version(model, changes))

    def export_model(self, model: AnyModel) -> AsyncIterator[bytes]:
        """Stream a version as an MLflow model directory in a zip archive. Raises Invalid if it has none."""
        return self._iterate(self._core.models.export(model))

    async def convert_model(
        self,
        model: AnyModel,
        *,
        name: str | None = None,
        dataset: AnyDataset | None = None,
        **options: Unpack[JobOptions],
    ) -> Submitted:
        """Submit the conversion of a scikit-learn version to ONNX, registered if it predicts the same.

        Both models predict rows of the `dataset`, or rows made for this. Raises Invalid for a model that
        cannot be converted. Retried as `submit` is.
        """
        return await self._run(self._core.models.convert(model, name, dataset, options))

    async def delete_model(self, model: AnyModel) -> None:
        """Delete a model of yours with all its versions. Raises Conflict while a job uses one of them."""
        await self._run(self._core.models.delete(model))

    async def delete_model_version(self, model: AnyModel) -> None:
        """Delete one version with its aliases: `delete_model_version("churn@3")`. Raises Conflict."""
        await self._run(self._core.models.delete_version(model))

    async def algorithms(self) -> Sequence[Algorithm]:
        """Return the algorithms that `train` takes, with the schema of their hyperparameters."""
        return await self._run(self._core.models.algorithms())
