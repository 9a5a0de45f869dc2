"""Random forests."""

from typing import Any, Final

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from app.jobs.algorithms.hyperparameters import RandomForest
from app.models.versions import Task
from worker.training import memory
from worker.training.learners.learner import TrainingData

NODE_BYTES: Final = 64
COPIES: Final = 3
"""The forest, its bytes while it is written, and the parts from which they are put together."""


class ForestLearner:
    """Each epoch adds its share of the trees. A tree depends on the seed and its index only."""

    ended = None

    def __init__(self, params: RandomForest, training_data: TrainingData) -> None:
        _ensure_room(params, training_data)
        of_task = (
            RandomForestClassifier if training_data.task is Task.CLASSIFICATION else RandomForestRegressor
        )
        self._training_data = training_data
        self._trees = params.n_estimators
        self._weights = training_data.weights(params)
        self._forest: Any = of_task(
            n_estimators=1,
            max_depth=params.max_depth,
            min_samples_leaf=params.min_samples_leaf,
            max_features=_max_features(params, training_data.task),
            random_state=training_data.seed_of(0),
            warm_start=True,
            n_jobs=1,
        )

    def learn(self, epoch: int) -> None:
        """Grow the trees of this epoch."""
        self._forest.set_params(n_estimators=self._training_data.share(self._trees, epoch))
        self._forest.fit(self._training_data.rows, self._training_data.truth, self._weights)

    def state(self) -> Any:
        """Return the estimator."""
        return self._forest

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._forest = state

    def estimator(self) -> Any:
        """Return the estimator."""
        return self._forest


def _max_features(params: RandomForest, task: Task) -> str | None:
    """Return scikit-learn's default of the task for `auto`."""
    wanted = params.max_features
    if wanted == "auto":
        wanted = "sqrt" if task is Task.CLASSIFICATION else "all"
    return None if wanted == "all" else wanted


def _ensure_room(params: RandomForest, training_data: TrainingData) -> None:
    """Raise TooLargeToTrain if the trees may not fit into memory.

    Without bounds they grow with the rows: measured, one leaf per three rows of a classification, two of a
    regression.
    """
    is_classifier = training_data.task is Task.CLASSIFICATION
    rows = len(training_data.truth)
    leaves = rows / max(3 if is_classifier else 2, params.min_samples_leaf)
    if params.max_depth is not None:
        leaves = min(leaves, 2.0**params.max_depth)
    values = 8 * (len(training_data.classes) if is_classifier else 1)
    needed = params.n_estimators * 2 * leaves * (NODE_BYTES + values) * COPIES
    trees = f"a forest of {params.n_estimators} trees over {rows} rows (bound max_depth or min_samples_leaf)"
    memory.ensure_available(trees, needed)
