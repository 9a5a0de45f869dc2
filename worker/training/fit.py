"""Fit one candidate epoch by epoch, and keep the epoch that the validation rows choose."""

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.models.versions import Task
from worker.context import JobError
from worker.training import checkpoint, features, learners, metrics, outputs
from worker.training.candidates import Candidate
from worker.training.checkpoint import EpochRecord, FitState
from worker.training.features import Matrix
from worker.training.fitted import FittedModel
from worker.training.learners import Learner, TrainingData
from worker.training.plan import Plan
from worker.training.split import Rows

LOSS_ROWS: Final = 2000
"""Maximum number of rows for a loss that is only shown and need not be exact."""

MAX_WARNINGS: Final = 30


class Diverged(JobError):
    """The loss is infinite or not a number; never retried."""

    def __init__(self, epoch: int) -> None:
        super().__init__(
            "training_diverged",
            f"the loss of epoch {epoch} is not finite; try a smaller step or learning rate",
            is_retryable=False,
        )


@dataclass(frozen=True)
class Encoded:
    """A transformer that was fitted on rows, and these rows as it encodes them."""

    transformer: Any
    rows: Matrix


def encode(plan: Plan, algorithm: str, rows: Rows) -> Encoded:
    """Fit the features of an algorithm on these rows. Raises TooLargeToTrain."""
    shape, counts = learners.shape(algorithm), plan.word_counts
    with features.without_warnings():
        transformer = features.fit(plan.inputs, plan.cells, rows, shape, plan.seed, counts)
        return Encoded(transformer, features.transform(transformer, plan.inputs, plan.cells, rows, counts))


def training_data(plan: Plan, algorithm: str, rows: Rows, encoded: Matrix, epochs: int) -> TrainingData:
    """Return the data for a learner of this algorithm."""
    is_binned = learners.shape(algorithm) is features.Shape.BINS
    return TrainingData(
        task=plan.target.task,
        rows=encoded,
        truth=plan.target.values[rows],
        epochs=epochs,
        seed=plan.seed,
        categorical=tuple(features.categorical_indices(plan.inputs)) if is_binned else (),
    )


class Fit:
    """A candidate at work on the rows of a plan. Call `train_epoch` until `is_finished`."""

    def __init__(
        self,
        plan: Plan,
        candidate: Candidate,
        *,
        train: Rows,
        validation: Rows,
        epochs: int,
        saved: FitState | None = None,
    ) -> None:
        """Start a fit, or resume it from its state. Raises TooLargeToTrain, BadInput and BrokenCheckpoint."""
        self.candidate: Final = candidate
        self.history: Final[list[EpochRecord]] = [] if saved is None else list(saved.history)
        self.warnings: Final[list[str]] = []
        self._plan = plan
        self._epochs = epochs
        self._chooses = len(validation) > 0 and learners.keeps_best_epoch(candidate.algorithm)
        if saved is None:
            encoded = encode(plan, candidate.algorithm, train)
            self._transformer, rows = encoded.transformer, encoded.rows
        else:
            self._transformer = checkpoint.load(saved.features)
            rows = self._transform(train)
        self._data = training_data(plan, candidate.algorithm, train, rows, epochs)
        step = 1 if self._chooses else max(1, len(validation) // LOSS_ROWS)
        measured = validation[::step]
        self._validation_rows = self._transform(measured) if len(measured) else None
        self._validation_truth = plan.target.values[measured]
        self._learner: Learner = learners.start(candidate.algorithm, candidate.params, self._data)
        self._best: Any = None
        if saved is not None:
            self._learner.restore(checkpoint.load(saved.state))
            if self._chooses:
                self._best = checkpoint.load(saved.best or saved.state)

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch of the model: the first one with the lowest validation loss, or the last one."""
        return _best_epoch(self.history) if self._chooses else self.epoch

    @property
    def stopped_early(self) -> str | None:
        """Why the fit ends before the requested number of epochs, as a sentence; None if it does not."""
        if self.epoch == 0 or self.epoch >= self._epochs:
            return None
        if self._learner.ended:
            return f"Further epochs would not change the model: {self._learner.ended}."
        patience = self.candidate.params.patience
        if self._chooses and patience and self.epoch - self.best_epoch >= patience:
            return f"The validation loss has not improved for {patience} epochs."
        return None

    @property
    def is_finished(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.epoch >= self._epochs or self.stopped_early is not None

    def train_epoch(self) -> EpochRecord:
        """Train one epoch and measure the model. Raises Diverged."""
        started = time.perf_counter()
        epoch = self.epoch + 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._learner.learn(epoch)
            record = self._measure(epoch, started)
        self._keep_warnings(caught)
        self.history.append(record)
        if self._chooses:
            # A copy, since the learner continues to change its own state.
            self._best = copy.deepcopy(self._learner.state()) if self.best_epoch == epoch else self._best
        return record

    def run(self) -> FittedModel:
        """Train all epochs that are left, and return the model. Raises Diverged."""
        while not self.is_finished:
            self.train_epoch()
        return self.model()

    def model(self) -> FittedModel:
        """Return the model of the best epoch. No epoch can be trained afterwards."""
        if self._best is not None:
            self._learner.restore(self._best)
        return FittedModel(self._plan, self._transformer, self._learner.estimator())

    def save(self, candidate: int) -> FitState:
        """Return the state for another attempt to resume from; `candidate` is the number of its candidate."""
        is_last = self._best is None or self.best_epoch == self.epoch
        return FitState(
            candidate=candidate,
            features=self._features,
            state=checkpoint.dump(self._learner.state()),
            best=None if is_last else checkpoint.dump(self._best),
            history=list(self.history),
        )

    @cached_property
    def _features(self) -> bytes:
        return checkpoint.dump(self._transformer)

    def _transform(self, rows: Rows) -> Matrix:
        with features.without_warnings():
            plan = self._plan
            return features.transform(self._transformer, plan.inputs, plan.cells, rows, plan.word_counts)

    def _measure(self, epoch: int, started: float) -> EpochRecord:
        """Compute the losses and the score of an epoch that began at `started`. Raises Diverged."""
        estimator = self._learner.estimator()
        # The training rows are shuffled, so the first ones are a random sample.
        train_loss, _ = self._loss(
            estimator, self._data.rows[:LOSS_ROWS], self._data.truth[:LOSS_ROWS], epoch
        )
        valid_loss = score = None
        if self._validation_rows is not None:
            valid_loss, score = self._loss(estimator, self._validation_rows, self._validation_truth, epoch)
        is_classification = self._data.task is Task.CLASSIFICATION
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            valid_loss=valid_loss,
            seconds=round(time.perf_counter() - started, 4),
            valid_accuracy=score if is_classification else None,
            valid_r2=None if is_classification else score,
        )

    def _loss(
        self, estimator: Any, rows: Matrix, truth: npt.NDArray[Any], epoch: int
    ) -> tuple[float, float | None]:
        """Return the loss, and the accuracy or R². Raises Diverged."""
        score: float | None
        if self._data.task is Task.CLASSIFICATION:
            predicted = outputs.classify(estimator, rows)
            loss = metrics.log_loss if predicted.are_probabilities else metrics.hinge_loss
            value, score = loss(truth, predicted), float(np.mean(predicted.labels == truth))
        else:
            values = outputs.estimate(estimator, rows)
            _ensure_finite(values, epoch)
            value = _mean_squared_error(truth, values)
            score = metrics.regression_metrics(truth, values)["r2"]
        _ensure_finite(np.array([value]), epoch)
        return value, score

    def _keep_warnings(self, caught: Sequence[warnings.WarningMessage]) -> None:
        for warning in caught:
            message = str(warning.message)
            if message not in self.warnings and len(self.warnings) < MAX_WARNINGS:
                self.warnings.append(message)


def _best_epoch(history: Sequence[EpochRecord]) -> int:
    losses = [np.inf if record.valid_loss is None else record.valid_loss for record in history]
    return int(np.argmin(losses)) + 1


def _mean_squared_error(truth: outputs.Floats, predicted: outputs.Floats) -> float:
    with np.errstate(over="ignore"):
        return float(np.square(truth - predicted).mean())


def _ensure_finite(values: npt.NDArray[np.float64], epoch: int) -> None:
    if not np.isfinite(values).all():
        raise Diverged(epoch)
