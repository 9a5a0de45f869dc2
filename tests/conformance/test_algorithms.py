"""Every algorithm learns, resumes to the last bit, and leaves a model that the sklearn runtime loads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from app.jobs.algorithms import catalogue
from app.jobs.algorithms.catalogue import Algorithm, Name
from app.models.versions import Task
from tests.conformance.cases import PLUGINS, of_plugins
from tests.worker.training import data
from worker.runtimes.sklearn.runtime import SklearnRuntime
from worker.training import learners, table
from worker.training.trainer import Training

ALGORITHMS = catalogue.load(PLUGINS)
PARAMS: dict[str, dict[str, Any]] = {
    Name.RANDOM_FOREST: {"n_estimators": 12},
    Name.HIST_GRADIENT_BOOSTING: {"max_iter": 12, "min_samples_leaf": 5},
    Name.MLP: {"hidden_layer_sizes": [8]},
    **dict(of_plugins("ALGORITHM_PARAMS")),
}
EPOCHS = 4
TASKS = [(algorithm, task) for algorithm in ALGORITHMS.values() for task in algorithm.tasks]

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda found: found.name)
every_task = pytest.mark.parametrize(
    ("algorithm", "task"), TASKS, ids=[f"{algorithm.name} {task}" for algorithm, task in TASKS]
)


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """The plugins' algorithms, in this process."""
    learners.install(PLUGINS)
    yield
    learners.install(())


def training(algorithm: Algorithm, task: Task, resume: bytes | None = None) -> Training:
    """A short training on rows with every kind of column."""
    target = {Task.CLASSIFICATION: "target", Task.REGRESSION: "spent"}[task]
    rows = [{**row, "target": row[target]} for row in data.customers(120)]
    wanted = data.params(
        algorithm=algorithm.name,
        task=task,
        params={"patience": 0, **PARAMS.get(algorithm.name, {})},
        epochs=EPOCHS,
        features=["age", "city", "member", "since", "note"],
    )
    return Training(table.to_arrow(rows), wanted, resume)


def losses(found: Training) -> list[tuple[float, float | None]]:
    return [(record.train_loss, record.valid_loss) for record in found.fit.history]


@every_algorithm
def test_its_hyperparameters_have_defaults_and_descriptions(algorithm: Algorithm) -> None:
    defaults = algorithm.params()

    assert algorithm.tasks
    assert algorithm.sentence.endswith(".")
    assert algorithm.params.__doc__
    assert algorithm.params.model_validate(defaults.model_dump()) == defaults
    assert defaults.fault(10) is None
    assert defaults.for_epochs(1000).fault(1000) is None


@every_task
def test_it_learns(algorithm: Algorithm, task: Task, tmp_path: Path) -> None:
    rows = data.iris() if task is Task.CLASSIFICATION else data.diabetes()
    params = PARAMS.get(algorithm.name, {})

    _, result = data.trained(rows, tmp_path / "model", algorithm=algorithm.name, task=task, params=params)

    metric, least = ("accuracy", 0.6) if task is Task.CLASSIFICATION else ("r2", 0.2)
    assert result["metrics"][metric] >= least


@every_task
def test_a_training_killed_after_any_epoch_ends_with_the_same_model(
    algorithm: Algorithm, task: Task, tmp_path: Path
) -> None:
    whole = training(algorithm, task)
    data.train_until(whole)
    whole.finish(tmp_path / "whole")
    for epochs in range(1, whole.steps):
        killed = training(algorithm, task)
        data.train_until(killed, until=epochs)

        resumed = training(algorithm, task, killed.checkpoint())
        data.train_until(resumed)
        resumed.finish(tmp_path / "resumed")

        assert losses(resumed) == losses(whole)
        assert np.array_equal(predicted(resumed), predicted(whole))


def predicted(found: Training) -> Any:
    """What the finished model predicts for the rows that it was trained on."""
    return found.fit._learner.estimator().predict(found.fit._data.rows)


@every_task
def test_it_does_not_change_the_data(algorithm: Algorithm, task: Task) -> None:
    found = training(algorithm, task)
    rows, truth = found.fit._data.rows.copy(), found.fit._data.truth.copy()

    data.train_until(found)

    np.testing.assert_array_equal(dense(found.fit._data.rows), dense(rows))
    np.testing.assert_array_equal(found.fit._data.truth, truth)


def dense(rows: Any) -> Any:
    return rows.toarray() if sparse.issparse(rows) else rows.astype(np.float64)


@every_task
def test_its_model_passes_the_inspection_of_uploads_and_predicts(
    algorithm: Algorithm, task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    rows: pa.Table = data.iris() if task is Task.CLASSIFICATION else data.diabetes()
    data.trained(rows, path, algorithm=algorithm.name, task=task, params=PARAMS.get(algorithm.name, {}))

    signature = SklearnRuntime().inspect(path)

    assert signature.task is task
    assert [column.name for column in signature.columns or ()] == rows.column_names[:-1]
