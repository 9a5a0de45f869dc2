"""One training: what is learnt from, the epochs, and what comes of it.

Everything that is decided before the first epoch follows from the rows, the params and the seed, so an
attempt that goes on decides it again; what was computed, it takes from the checkpoint.
"""

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
from pydantic import ValidationError

from app.datasets import reading
from app.datasets.conversion.columns import declared as was_declared
from app.datasets.options import Declared
from app.jobs.algorithms.catalogue import Name
from app.jobs.algorithms.choice import choose
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.jobs.params import TrainModelParams
from app.models.versions import Task
from worker import cells
from worker.context import BadInput, JobError
from worker.training import (
    artifact,
    checkpoint,
    columns,
    data_warnings,
    features,
    learners,
    metrics,
    outputs,
    split,
    target,
)
from worker.training.artifact import Note, NotedColumn
from worker.training.checkpoint import Checkpoint, EpochRecord
from worker.training.columns import Column
from worker.training.features import Cells, Matrix
from worker.training.learners import Learner, TrainingData
from worker.training.target import Target

SAMPLE_ROWS: Final = 10_000
"""The training loss is that of so many rows at most: it is there to be compared, not to be exact."""

MAX_WARNINGS: Final = 30
LIBRARIES: Final = ("scikit-learn", "numpy", "scipy", "skops")


class Diverged(JobError):
    """The numbers grew beyond all bounds; never retried."""

    def __init__(self, epoch: int) -> None:
        super().__init__(
            "training_diverged",
            f"the loss of epoch {epoch} is not a number; a smaller step or learning rate may help",
            is_retryable=False,
        )


@dataclass(frozen=True)
class Plan:
    """What is decided before the first epoch."""

    target: Target
    told: list[Column]
    train: npt.NDArray[np.intp]
    held: npt.NDArray[np.intp]
    cells: Cells
    algorithm: str
    why: str | None
    params: Hyperparameters
    caveats: list[str]

    @property
    def inputs(self) -> list[Column]:
        """The columns that the model takes."""
        return [column for column in self.told if column.content is not None]


def plan(table: pa.Table, params: TrainModelParams) -> Plan:
    """Look at the rows and decide. Raises BadInput and BadTarget for what cannot be learnt."""
    columns.ensure_there(table, params.target, params.features or ())
    shown = reading.shown(table)
    wanted = _target(params, table, shown)
    told = columns.tell_apart(shown, params.target, params.features, params.columns)
    splitting = split.of_labels if wanted.task is Task.CLASSIFICATION else split.of_numbers
    train, held = splitting(wanted.values, params.validation_fraction, params.seed)
    kept = pa.array(wanted.rows)
    used = [column for column in told if column.content is not None]
    name, why = _algorithm(params, wanted.task, rows=len(train), used=used)
    return Plan(
        target=wanted,
        told=told,
        train=train,
        held=held,
        cells={
            column.name: columns.read(
                column, table.column(column.name).take(kept), table.schema.field(column.name)
            )
            for column in used
        },
        algorithm=name,
        why=why,
        params=_hyperparameters(name, params),
        caveats=data_warnings.find(shown, told, params.target, wanted),
    )


@dataclass
class Progress:
    """What has come of the epochs so far. `best` is what was learnt by the best one, `state` by the last."""

    features: bytes
    state: bytes = b""
    best: bytes = b""
    history: list[EpochRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, the first of several."""
        return min(self.history, key=lambda record: record.valid_loss).epoch

    @property
    def epochs_since_best(self) -> int:
        """How many epochs have not been better."""
        return len(self.history) - self.best_epoch


class Training:
    """A training under way. Ask `is_over` before each `learn`, take `checkpoint` after it."""

    def __init__(self, table: pa.Table, params: TrainModelParams, resume: bytes | None = None) -> None:
        """Begin, or go on from a checkpoint. Raises JobErrors that say what cannot be learnt and why."""
        self._params = params
        self.plan: Final = plan(table, params)
        saved = None if resume is None else checkpoint.decode(resume)
        if saved is None:
            self._transformer = self._fitted()
            self.progress = Progress(features=checkpoint.dumped(self._transformer))
        else:
            self._transformer = checkpoint.loaded(saved.features)
            self.progress = Progress(
                saved.features, saved.state, saved.best or saved.state, saved.history, saved.warnings
            )
        self._held_rows = self._transformed(self.plan.held)
        self._held_truth = self.plan.target.values[self.plan.held]
        self._training_data = self._build_training_data()
        self._learner: Learner = learners.start(self.plan.algorithm, self.plan.params, self._training_data)
        if saved is not None:
            self._learner.restore(checkpoint.loaded(saved.state))

    @property
    def epoch(self) -> int:
        """The epochs that are done."""
        return len(self.progress.history)

    @property
    def stopped_early(self) -> str | None:
        """Why there are fewer epochs than were asked for, as a sentence; None if there are not."""
        if self.epoch == 0 or self.epoch >= self._params.epochs:
            return None
        if self._learner.ended:
            return f"Nothing is left to learn: {self._learner.ended}."
        patience = self.plan.params.patience
        if patience and self.progress.epochs_since_best >= patience:
            return f"The validation loss has not fallen for {patience} epochs."
        return None

    @property
    def is_over(self) -> bool:
        """Whether there is no epoch to come."""
        return self.epoch >= self._params.epochs or self.stopped_early is not None

    def learn(self) -> EpochRecord:
        """One epoch, and how good the model is after it. Raises Diverged."""
        started = time.perf_counter()
        epoch = self.epoch + 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._learner.learn(epoch)
            record = self._measured(epoch, started)
        self._note(caught)
        self.progress.history.append(record)
        self.progress.state = checkpoint.dumped(self._learner.state())
        if self.progress.best_epoch == epoch:
            self.progress.best = self.progress.state
        return record

    def checkpoint(self) -> bytes:
        """What another attempt needs to go on from here."""
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
        """Write the model of the best epoch to this path; the result of the job, metrics and all.

        The metrics are those of what was written, on the rows that were held out.
        """
        stopped_because = self.stopped_early
        self._learner.restore(checkpoint.loaded(self.progress.best))
        pipeline = features.pipeline(self._transformer, self._learner.estimator())
        noted = tuple(
            NotedColumn(column.name, column.content, column.expects, column.missing)
            for column in self.plan.inputs
            if column.content is not None
        )
        artifact.write(path, pipeline, Note(self.plan.target.task, noted))
        return {**self._outcome(), **self._account(stopped_because)}

    def _outcome(self) -> dict[str, Any]:
        estimator = self._learner.estimator()
        if self.plan.target.task is Task.REGRESSION:
            found = metrics.of_numbers(self._held_truth, outputs.estimate(estimator, self._held_rows))
            return {**found, "metrics": found}
        said = outputs.classify(estimator, self._held_rows)
        found = metrics.of_labels(self._held_truth, said)
        return {
            "accuracy": found["accuracy"],
            "metrics": found,
            "classes": list(self.plan.target.classes),
            "class_balance": data_warnings.class_balance(self.plan.target, self.plan.train),
            "confusion_matrix": metrics.confusion_matrix(self._held_truth, said.labels),
        }

    def _account(self, stopped_because: str | None) -> dict[str, Any]:
        """How the model came about."""
        plan, history = self.plan, self.progress.history
        return {
            "signature": {
                "task": plan.target.task,
                "columns": [{"name": column.name, "type": column.expects} for column in plan.inputs],
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
                for column in plan.told
            ],
            "epochs": len(history),
            "best_epoch": self.progress.best_epoch,
            "stopped_early": stopped_because is not None,
            "stopped_because": stopped_because,
            "train_rows": len(plan.train),
            "validation_rows": len(plan.held),
            "history": history,
            "fit_seconds": round(sum(record.seconds for record in history), 4),
            "warnings": [*plan.caveats, *self.progress.warnings],
            "library_versions": {
                "python": platform.python_version(),
                **{library: version(library) for library in LIBRARIES},
            },
        }

    def _fitted(self) -> Any:
        plan = self.plan
        learnt_from = {name: values[plan.train] for name, values in plan.cells.items()}
        shape = learners.shape(plan.algorithm)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a column without a value in the rows that are learnt from
            return features.fit(plan.inputs, learnt_from, shape, self._params.seed)

    def _transformed(self, rows: npt.NDArray[np.intp]) -> Matrix:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a category that was not among the rows learnt from
            return features.transform(self._transformer, self.plan.inputs, self.plan.cells, rows)

    def _build_training_data(self) -> TrainingData:
        plan = self.plan
        is_binned = learners.shape(plan.algorithm) is features.Shape.BINS
        return TrainingData(
            task=plan.target.task,
            rows=self._transformed(plan.train),
            truth=plan.target.values[plan.train],
            epochs=self._params.epochs,
            seed=self._params.seed,
            categorical=tuple(features.categorical_places(plan.inputs)) if is_binned else (),
        )

    def _measured(self, epoch: int, started: float) -> EpochRecord:
        training_data, estimator = self._training_data, self._learner.estimator()
        # The rows to learn from are in random order already.
        sample, sample_truth = training_data.rows[:SAMPLE_ROWS], training_data.truth[:SAMPLE_ROWS]
        accuracy = r2 = None
        if training_data.task is Task.CLASSIFICATION:
            said = outputs.classify(estimator, self._held_rows)
            loss = metrics.log_loss if said.are_probabilities else metrics.hinge_loss
            losses = loss(sample_truth, outputs.classify(estimator, sample)), loss(self._held_truth, said)
            accuracy = float(np.mean(said.labels == self._held_truth))
        else:
            values = outputs.estimate(estimator, self._held_rows)
            _ensure_finite(values, epoch)
            sampled = outputs.estimate(estimator, sample)
            losses = _squared(sample_truth, sampled), _squared(self._held_truth, values)
            r2 = metrics.of_numbers(self._held_truth, values)["r2"]
        _ensure_finite(np.array(losses), epoch)
        return EpochRecord(
            epoch=epoch,
            train_loss=losses[0],
            valid_loss=losses[1],
            seconds=round(time.perf_counter() - started, 4),
            valid_accuracy=accuracy,
            valid_r2=r2,
        )

    def _note(self, caught: Sequence[warnings.WarningMessage]) -> None:
        for warning in caught:
            said = str(warning.message)
            if said not in self.progress.warnings and len(self.progress.warnings) < MAX_WARNINGS:
                self.progress.warnings.append(said)


def _target(params: TrainModelParams, table: pa.Table, shown: pa.Table) -> Target:
    """What to predict: as it is shown, or as it was written if it is declared a category or a text."""
    name = params.target
    field = table.schema.field(name)
    declared = params.columns.get(name) or was_declared(field)
    values = shown.column(name)
    if declared in (Declared.CATEGORY, Declared.TEXT):
        values = pa.chunked_array(
            [[cells.label(value) for value in reading.written_values(field, table.column(name))]], pa.string()
        )
    return target.read(name, values, params.task, declared)


def _algorithm(
    params: TrainModelParams, task: Task, *, rows: int, used: Sequence[Column]
) -> tuple[str, str | None]:
    if params.algorithm == Name.AUTO:
        texts = sum(column.used_as == "text" for column in used)
        choice = choose(task, rows=rows, columns=len(used), text_columns=texts)
        return choice.name, choice.why
    algorithm = learners.algorithm(params.algorithm)
    if task not in algorithm.tasks:
        raise BadInput(
            f"{algorithm.name} is not for {task}, which is what the target {params.target!r} asks for"
        )
    return algorithm.name, None


def _hyperparameters(name: str, params: TrainModelParams) -> Hyperparameters:
    schema = learners.algorithm(name).params
    try:
        if params.algorithm == Name.AUTO:
            return schema.model_validate(params.params).for_epochs(params.epochs)
        return schema.model_validate(params.params)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors() if fault["loc"])
        raise BadInput(f"params of {name}: {faults}") from None


def _squared(truth: outputs.Floats, said: outputs.Floats) -> float:
    with np.errstate(over="ignore"):
        return float(np.square(truth - said).mean())


def _ensure_finite(values: npt.NDArray[np.float64], epoch: int) -> None:
    if not np.isfinite(values).all():
        raise Diverged(epoch)
