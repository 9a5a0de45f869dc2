"""Random forests."""

from typing import Any, Final

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from app.jobs.algorithms.hyperparameters import RandomForest
from app.models.versions import Task
from worker.training import memory
from worker.training.learners.learner import Lessons

NODE_BYTES: Final = 64
COPIES: Final = 3
"""The forest, what is kept of the best epoch, and the bytes of one of them as they are written."""


class ForestLearner:
    """Each epoch adds its share of the trees. A tree's randomness depends on the seed and its place only."""

    ended = None

    def __init__(self, params: RandomForest, lessons: Lessons) -> None:
        _ensure_room(params, lessons)
        of_task = RandomForestClassifier if lessons.task is Task.CLASSIFICATION else RandomForestRegressor
        self._lessons = lessons
        self._trees = params.n_estimators
        self._weights = lessons.weights(balance=params.balance_classes)
        self._forest: Any = of_task(
            n_estimators=1,
            max_depth=params.max_depth,
            min_samples_leaf=params.min_samples_leaf,
            max_features=None if params.max_features == "all" else params.max_features,
            random_state=lessons.seed_of(0),
            warm_start=True,
            n_jobs=1,
        )

    def learn(self, epoch: int) -> None:
        """Grow this epoch's trees."""
        self._forest.set_params(n_estimators=self._lessons.share(self._trees, epoch))
        self._forest.fit(self._lessons.rows, self._lessons.truth, self._weights)

    def state(self) -> Any:
        """The estimator."""
        return self._forest

    def restore(self, state: Any) -> None:
        """Take over an estimator."""
        self._forest = state

    def estimator(self) -> Any:
        """The estimator."""
        return self._forest


def _ensure_room(params: RandomForest, lessons: Lessons) -> None:
    """A forest without bounds grows with the rows; seen: a leaf for three rows of a class, two of numbers."""
    is_classifier = lessons.task is Task.CLASSIFICATION
    rows = len(lessons.truth)
    leaves = rows / max(3 if is_classifier else 2, params.min_samples_leaf)
    if params.max_depth is not None:
        leaves = min(leaves, 2.0**params.max_depth)
    values = 8 * (len(lessons.classes) if is_classifier else 1)
    needed = params.n_estimators * 2 * leaves * (NODE_BYTES + values) * COPIES
    trees = f"a forest of {params.n_estimators} trees over {rows} rows (bound max_depth or min_samples_leaf)"
    memory.ensure_room(trees, needed)
