"""The methods of both clients for trainings, evaluations and searches: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from app.client.dataset_values import AnyDataset
from app.client.methods import AsyncMethods, Methods
from app.client.model_values import AnyModel
from app.client.options import EvaluateOptions, TrainOptions
from app.client.training_values import AnySearch, Search, SubmittedSearch
from app.client.trainings import Rows, SearchSpace
from app.client.values import Submitted


class TrainingMethods(Methods):
    """The methods of `Headrace` for trainings, evaluations and searches."""

    def train(
        self,
        target: str,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        **options: Unpack[TrainOptions],
    ) -> Submitted:
        """Train a model to predict the column `target` from the other columns.

        The rows are a dataset, or up to 1000 `rows`. The event of each epoch has `metrics`, and the job's
        result names the model version. Retried as `submit` is.

            job = client.train("label", dataset=client.upload("reviews.csv"), model="reviews")
            job = client.train("label", dataset="reviews", model="reviews", promote={"alias": "prod"})
        """
        return self._run(self._core.trainings.train(target, dataset, rows, options))

    def evaluate(
        self,
        model: AnyModel,
        target: str,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> Submitted:
        """Measure a model on rows whose true values are in the column `target`.

        The result of the job has `metrics` and, for classes, `confusion_matrix`. Retried as `submit` is.

            job = client.evaluate("reviews@prod", "label", dataset="reviews-of-may.csv")
            print((client.wait(job)).result["metrics"])
        """
        return self._run(self._core.trainings.evaluate(model, target, dataset, rows, options))

    def create_search(
        self,
        target: str,
        space: SearchSpace | None = None,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        trials: int | None = None,
        metric: str | None = None,
        folds: int | None = None,
        **options: Unpack[TrainOptions],
    ) -> SubmittedSearch:
        """Search hyperparameters: train one model for each of many combinations of the values in `space`.

        Without `trials`, all combinations of lists are tried. The best version has the alias `best`. With
        `folds`, each combination is measured by cross-validation over many workers, and without a `space`
        there is only that of the `params`. Retried as `submit` is.

            space = {"alpha": {"min": 1e-6, "max": 1e-2, "log": True}, "penalty": ["l2", "elasticnet"]}
            search = client.create_search("label", space, trials=12, dataset="reviews",
                                                algorithm="logistic_regression", model="reviews")
        """
        search = {"params": space, "trials": trials, "metric": metric}
        return self._run(self._core.trainings.create_search(target, search, folds, dataset, rows, options))

    def search(self, search: AnySearch) -> Search:
        """Return a search with its leaderboard. Raises NotFound."""
        return self._run(self._core.trainings.search(search))

    def wait_for_search(self, search: AnySearch, timeout: float | None = None) -> Search:
        """Wait until all trials have ended. Raises WaitTimeout after `timeout` seconds."""
        return self._run(self._core.trainings.wait(search, timeout))

    def follow_search(self, search: AnySearch) -> Iterator[Search]:
        """Iterate over the states of a search: the current one, then each change, until all trials ended."""
        return self._iterate(self._core.trainings.follow(search))

    def cancel_search(self, search: AnySearch) -> Search:
        """Cancel the trials that have not ended, and return the search."""
        return self._run(self._core.trainings.cancel_search(search))


class AsyncTrainingMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for trainings, evaluations and searches."""

    async def train(
        self,
        target: str,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        **options: Unpack[TrainOptions],
    ) -> Submitted:
        """Train a model to predict the column `target` from the other columns.

        The rows are a dataset, or up to 1000 `rows`. The event of each epoch has `metrics`, and the job's
        result names the model version. Retried as `submit` is.

            job = await client.train("label", dataset=await client.upload("reviews.csv"), model="reviews")
            job = await client.train("label", dataset="reviews", model="reviews", promote={"alias": "prod"})
        """
        return await self._run(self._core.trainings.train(target, dataset, rows, options))

    async def evaluate(
        self,
        model: AnyModel,
        target: str,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> Submitted:
        """Measure a model on rows whose true values are in the column `target`.

        The result of the job has `metrics` and, for classes, `confusion_matrix`. Retried as `submit` is.

            job = await client.evaluate("reviews@prod", "label", dataset="reviews-of-may.csv")
            print((await client.wait(job)).result["metrics"])
        """
        return await self._run(self._core.trainings.evaluate(model, target, dataset, rows, options))

    async def create_search(
        self,
        target: str,
        space: SearchSpace | None = None,
        *,
        dataset: AnyDataset | None = None,
        rows: Rows | None = None,
        trials: int | None = None,
        metric: str | None = None,
        folds: int | None = None,
        **options: Unpack[TrainOptions],
    ) -> SubmittedSearch:
        """Search hyperparameters: train one model for each of many combinations of the values in `space`.

        Without `trials`, all combinations of lists are tried. The best version has the alias `best`. With
        `folds`, each combination is measured by cross-validation over many workers, and without a `space`
        there is only that of the `params`. Retried as `submit` is.

            space = {"alpha": {"min": 1e-6, "max": 1e-2, "log": True}, "penalty": ["l2", "elasticnet"]}
            search = await client.create_search("label", space, trials=12, dataset="reviews",
                                                algorithm="logistic_regression", model="reviews")
        """
        search = {"params": space, "trials": trials, "metric": metric}
        return await self._run(
            self._core.trainings.create_search(target, search, folds, dataset, rows, options)
        )

    async def search(self, search: AnySearch) -> Search:
        """Return a search with its leaderboard. Raises NotFound."""
        return await self._run(self._core.trainings.search(search))

    async def wait_for_search(self, search: AnySearch, timeout: float | None = None) -> Search:
        """Wait until all trials have ended. Raises WaitTimeout after `timeout` seconds."""
        return await self._run(self._core.trainings.wait(search, timeout))

    def follow_search(self, search: AnySearch) -> AsyncIterator[Search]:
        """Iterate over the states of a search: the current one, then each change, until all trials ended."""
        return self._iterate(self._core.trainings.follow(search))

    async def cancel_search(self, search: AnySearch) -> Search:
        """Cancel the trials that have not ended, and return the search."""
        return await self._run(self._core.trainings.cancel_search(search))
