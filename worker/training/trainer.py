"""Run a training epoch by epoch, checkpoint it, and write the model of the best epoch."""

import platform
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.jobs.params import TrainModelParams
from app.models.versions import Task
from worker.context import JobError
from worker.training import (
    artifact,
    checkpoint,
    data_warnings,
    features,
    learners,
    metrics,
    outputs,
)
from worker.training.artifact import ColumnMetadata, ModelMetadata
from worker.training.checkpoint import Checkpoint, EpochRecord
from worker.training.features import Matrix
from worker.training.learners import Learner, TrainingData
from worker.training.plan import make_plan

LOSS_ROWS: Final = 10_000
"""Maximum number of rows for the training loss, which is only for comparison and need not be exact."""

MAX_WARNINGS: Final = 30
LIBRARIES: Final = ("scikit-learn", "numpy", "scipy", "skops")


class Diverged(JobError):
    """The loss is infinite or not a number; never retried."""

    def __init__(self, epoch: int) -> None:
        super().__init__(
            "training_diverged",
            f"the loss of epoch {epoch} is not finite; try a smaller step or learning rate",
            is_retryable=False,
        )


@dataclass
class Progress:
    """The state of a training. `features` is the transformer, `best` and `state` the learner, all serialised.

    `state` is of the last epoch, `best` of the epoch with the lowest validation loss.
    """

    features: bytes
    state: bytes = b""
    best: bytes = b""
    history: list[EpochRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest validation loss."""
        return min(self.history, key=lambda record: record.valid_loss).epoch

    @property
    def epochs_since_best(self) -> int:
        """How many epochs have passed without an improvement."""
        return len(self.history) - self.best_epoch


class Training:
    """A training in progress. Call `train_epoch` until `is_finished`, and `checkpoint` after each epoch."""

    def __init__(self, table: pa.Table, params: TrainModelParams, resume: bytes | None = None) -> None:
        """Start a training, or resume it from a checkpoint.

        Raises BadInput, BadTarget and TooLargeToTrain for unsuitable data, and BrokenCheckpoint.
        """
        self._params = params
        self.plan: Final = make_plan(table, params)
        saved = None if resume is None else checkpoint.decode(resume)
        if saved is None:
            self._transformer = self._fit_transformer()
            self.progress = Progress(features=checkpoint.dump(self._transformer))
        else:
            self._transformer = checkpoint.load(saved.features)
            self.progress = Progress(
                saved.features, saved.state, saved.best or saved.state, saved.history, saved.warnings
            )
        self._validation_rows = self._transform(self.plan.validation)
        self._validation_truth = self.plan.target.values[self.plan.validation]
        self._training_data = self._build_training_data()
        self._learner: Learner = learners.start(self.plan.algorithm, self.plan.params, self._training_data)
        if saved is not None:
            self._learner.restore(checkpoint.load(saved.state))

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.progress.history)

    @property
    def stopped_early(self) -> str | None:
        """Why the training ends before the requested number of epochs, as a sentence; None if it does not."""
        if self.epoch == 0 or self.epoch >= self._params.epochs:
            return None
        if self._learner.ended:
            return f"Further epochs would not change the model: {self._learner.ended}."
        patience = self.plan.params.patience
        if patience and self.progress.epochs_since_best >= patience:
            return f"The validation loss has not improved for {patience} epochs."
        return None

    @property
    def is_finished(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.epoch >= self._params.epochs or self.stopped_early is not None

    def train_epoch(self) -> EpochRecord:
        """Train one epoch and measure the model. Raises Diverged."""
        started = time.perf_counter()
        epoch = self.epoch + 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._learner.learn(epoch)
            record = self._measure(epoch, started)
        self._keep_warnings(caught)
        self.progress.history.append(record)
        self.progress.state = checkpoint.dump(self._learner.state())
        if self.progress.best_epoch == epoch:
            self.progress.best = self.progress.state
        return record

    def checkpoint(self) -> bytes:
        """Return the state for another attempt to resume from."""
        progress = self.progress
        is_best = progress.best is progress.state or progress.best == progress.state
        return checkpoint.encode(
            Checkpoint(
                features=progress.features,
                state=progress.state,
                best=None if is_best else progress.best,
                history=progress.history,
                warnings=progress.warnings,
            )
        )

    def finish(self, path: Path) -> dict[str, Any]:
        """Write the model of the best epoch to a file, and return the result of the job.

        The metrics are those of the written model, computed on the validation rows.
        """
        stopped_because = self.stopped_early
        self._learner.restore(checkpoint.load(self.progress.best))
        pipeline = features.pipeline(self._transformer, self._learner.estimator())
        columns = tuple(
            ColumnMetadata(column.name, column.content, column.expected_type, column.missing_markers)
            for column in self.plan.inputs
            if column.content is not None
        )
        artifact.write(path, pipeline, ModelMetadata(self.plan.target.task, columns))
        return {**self._final_metrics(), **self._summary(stopped_because)}

    def _final_metrics(self) -> dict[str, Any]:
        estimator = self._learner.estimator()
        if self.plan.target.task is Task.REGRESSION:
            values = outputs.estimate(estimator, self._validation_rows)
            scores = metrics.regression_metrics(self._validation_truth, values)
            return {**scores, "metrics": scores}
        predicted = outputs.classify(estimator, self._validation_rows)
        scores = metrics.classification_metrics(self._validation_truth, predicted)
        return {
            "accuracy": scores["accuracy"],
            "metrics": scores,
            "classes": list(self.plan.target.classes),
            "class_balance": data_warnings.class_balance(self.plan.target, self.plan.train),
            "confusion_matrix": metrics.confusion_matrix(self._validation_truth, predicted.labels),
        }

    def _summary(self, stopped_because: str | None) -> dict[str, Any]:
        """Return how the model was trained: signature, columns, algorithm, history, warnings."""
        plan, history = self.plan, self.progress.history
        return {
            "signature": {
                "task": plan.target.task,
                "columns": [{"name": column.name, "type": column.expected_type} for column in plan.inputs],
                "classes": list(plan.target.classes) or None,
            },
            "task": plan.target.task,
            "target": self._params.target,
            "algorithm": plan.algorithm,
            "why": plan.why,
            "params": plan.params.model_dump(),
            "columns": [
                {
                    "name": column.name,
                    "type": column.content,
                    "used_as": column.used_as,
                    "reason": column.reason,
                }
                for column in plan.columns
            ],
            "epochs": len(history),
            "best_epoch": self.progress.best_epoch,
            "stopped_early": stopped_because is not None,
            "stopped_because": stopped_because,
            "train_rows": len(plan.train),
            "validation_rows": len(plan.validation),
            "history": history,
            "fit_seconds": round(sum(record.seconds for record in history), 4),
            "warnings": [*plan.warnings, *self.progress.warnings],
            "library_versions": {
                "python": platform.python_version(),
                **{library: version(library) for library in LIBRARIES},
            },
        }

    def _fit_transformer(self) -> Any:
        plan = self.plan
        train_cells = {name: values[plan.train] for name, values in plan.cells.items()}
        shape = learners.shape(plan.algorithm)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about columns without a value in the training rows
            return features.fit(plan.inputs, train_cells, shape, self._params.seed)

    def _transform(self, rows: npt.NDArray[np.intp]) -> Matrix:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about categories that are not among the training rows
            return features.transform(self._transformer, self.plan.inputs, self.plan.cells, rows)

    def _build_training_data(self) -> TrainingData:
        plan = self.plan
        is_binned = learners.shape(plan.algorithm) is features.Shape.BINS
        return TrainingData(
            task=plan.target.task,
            rows=self._transform(plan.train),
            truth=plan.target.values[plan.train],
            epochs=self._params.epochs,
            seed=self._params.seed,
            categorical=tuple(features.categorical_indices(plan.inputs)) if is_binned else (),
        )

    def _measure(self, epoch: int, started: float) -> EpochRecord:
        """Compute the losses and the score of an epoch that began at `started`. Raises Diverged."""
        training_data, estimator = self._training_data, self._learner.estimator()
        # The training rows are shuffled, so the first ones are a random sample.
        sample, sample_truth = training_data.rows[:LOSS_ROWS], training_data.truth[:LOSS_ROWS]
        accuracy = r2 = None
        if training_data.task is Task.CLASSIFICATION:
            predicted = outputs.classify(estimator, self._validation_rows)
            loss = metrics.log_loss if predicted.are_probabilities else metrics.hinge_loss
            train_loss = loss(sample_truth, outputs.classify(estimator, sample))
            valid_loss = loss(self._validation_truth, predicted)
            accuracy = float(np.mean(predicted.labels == self._validation_truth))
        else:
            values = outputs.estimate(estimator, self._validation_rows)
            _ensure_finite(values, epoch)
            train_loss = _mean_squared_error(sample_truth, outputs.estimate(estimator, sample))
            valid_loss = _mean_squared_error(self._validation_truth, values)
            r2 = metrics.regression_metrics(self._validation_truth, values)["r2"]
        _ensure_finite(np.array([train_loss, valid_loss]), epoch)
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            valid_loss=valid_loss,
            seconds=round(time.perf_counter() - started, 4),
            valid_accuracy=accuracy,
            valid_r2=r2,
        )

    def _keep_warnings(self, caught: Sequence[warnings.WarningMessage]) -> None:
        for warning in caught:
            message = str(warning.message)
            if message not in self.progress.warnings and len(self.progress.warnings) < MAX_WARNINGS:
                self.progress.warnings.append(message)


def _mean_squared_error(truth: outputs.Floats, predicted: outputs.Floats) -> float:
    with np.errstate(over="ignore"):
        return float(np.square(truth - predicted).mean())


def _ensure_finite(values: npt.NDArray[np.float64], epoch: int) -> None:
    if not np.isfinite(values).all():
        raise Diverged(epoch)
