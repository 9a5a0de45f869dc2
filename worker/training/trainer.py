"""Run a training step by step: compare candidates, fit the best, cross-validate it, and fit it on all rows.

Each step is a batch of the job. A step follows from the rows, the params and the steps before, so an attempt
may repeat the steps since the last checkpoint and continue as if nothing had happened.
"""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.jobs.params import SplitMethod, TrainModelParams
from worker.drift import profile
from worker.training import (
    artifact,
    checkpoint,
    features,
    folds,
    learners,
    measuring,
    own_test,
    profiling,
)
from worker.training.artifact import ColumnMetadata, ModelMetadata
from worker.training.candidates import Candidate
from worker.training.checkpoint import (
    CandidateRecord,
    Checkpoint,
    EpochRecord,
    FitState,
    FoldRecord,
    FoldState,
    RefitRecord,
)
from worker.training.competition import Competition
from worker.training.fit import Fit
from worker.training.fitted import FittedModel, Unseen
from worker.training.memory import TooLargeToTrain
from worker.training.plan import make_plan
from worker.training.split import Fold, Rows

CHOSEN_EPOCHS: Final = 3
"""The epochs of an algorithm that was chosen, if they only divide its work: each of them costs a little."""

CHECKPOINT_SECONDS: Final = 10.0
CHECKPOINT_SHARE: Final = 0.05
"""A checkpoint is due when these seconds have passed, and writing the last one took less than this share."""

LIBRARIES: Final = ("scikit-learn", "numpy", "scipy", "skops")

NO_ROWS: Final[Rows] = np.array([], dtype=np.intp)


@dataclass(frozen=True)
class Step:
    """A finished step: what it was, and its record."""

    label: str
    record: CandidateRecord | EpochRecord | FoldRecord | RefitRecord


class Training:
    """A training in progress. Call `advance` until `is_finished`, then `finish`."""

    def __init__(
        self,
        table: pa.Table,
        params: TrainModelParams,
        resume: bytes | None = None,
        test: pa.Table | None = None,
    ) -> None:
        """Start a training, or resume it from a checkpoint. `test` has the test rows of a split by dataset.

        Raises BadInput, BadTarget and TooLargeToTrain for unsuitable data, and BrokenCheckpoint.
        """
        self._params = params
        plan = make_plan(table, params)
        self.plan: Final = plan if test is None else own_test.extend(plan, params, test)
        saved = None if resume is None else checkpoint.decode(resume)
        self._competition: Final = Competition(
            self.plan,
            self.plan.candidates.all,
            self.plan.train,
            () if saved is None else saved.candidates,
        )
        self._folds: Final[list[FoldState]] = [] if saved is None else list(saved.folds)
        self._warnings: Final[list[str]] = [] if saved is None else list(saved.warnings)
        self._winner = 0
        self._fit: Fit | None = None
        self._first_fold: FittedModel | None = None
        self._refitted: FittedModel | None = None
        self._refit_record: RefitRecord | None = None
        self._saved_at = time.perf_counter()
        self._saving_seconds = 0.0
        if saved is not None and saved.fit is not None:
            self._winner = saved.fit.candidate
            self._fit = self._start_fit(self._winner, saved.fit)
        elif self._competition.is_finished:
            self._fit_winner()

    @property
    def steps(self) -> int:
        """The number of finished steps."""
        fitted = 0 if self._fit is None else self._fit.epoch
        return len(self._competition.records) + fitted + len(self._folds) + (self._refit_record is not None)

    @property
    def is_finished(self) -> bool:
        """Whether there is no step left."""
        return (
            self._fit is not None
            and self._fit.is_finished
            and len(self._folds) == len(self.plan.split.folds)
            and (not self._holds_out or self._refit_record is not None)
        )

    @property
    def fit(self) -> Fit:
        """The fit of the best candidate. It begins when the competition has ended."""
        assert self._fit is not None  # noqa: S101  # the caller knows
        return self._fit

    def advance(self) -> Step:
        """Run the next step. Raises Diverged and TooLargeToTrain."""
        if not self._competition.is_finished:
            return self._compare()
        if not self.fit.is_finished:
            record = self.fit.train_epoch()
            return Step(f"Epoch {record.epoch}/{self._epochs(self.fit.candidate)}", record)
        if len(self._folds) < len(self.plan.split.folds):
            return self._test_fold()
        return self._refit()

    def is_checkpoint_due(self) -> bool:
        """Whether enough has been computed since the last checkpoint to write another one."""
        if self._fit is None or self._fit.epoch == 0:
            return True  # it is small
        seconds = time.perf_counter() - self._saved_at
        return seconds >= max(CHECKPOINT_SECONDS, self._saving_seconds / CHECKPOINT_SHARE)

    def checkpoint(self) -> bytes:
        """Return the state for another attempt to resume from.

        The fit on few rows is quick, and not in it: another attempt begins that again.
        """
        started = time.perf_counter()
        is_fitted = self._fit is not None and self._fit.epoch > 0 and not self.plan.measured_by_choice
        content = checkpoint.encode(
            Checkpoint(
                format=checkpoint.FORMAT,
                candidates=self._competition.records,
                fit=self.fit.save(self._winner) if is_fitted else None,
                folds=self._folds,
                warnings=self._caught(),
            )
        )
        self._saved_at = time.perf_counter()
        self._saving_seconds = self._saved_at - started
        return content

    def finish(self, path: Path) -> dict[str, Any]:
        """Write the model to a file, and return the result of the job.

        The metrics are those of the test rows, from which this model, or the one before the refit, did not
        learn.
        """
        stopped_because = self.fit.stopped_early
        model = self.fit.model()
        unseen = self._unseen(model)
        tested = folds.join(self.plan, self._folds) if self._folds else model.held_out(unseen.rows)
        course = measuring.Course(
            target=self._params.target,
            algorithm=self.fit.candidate.algorithm,
            history=self.fit.history,
            best_epoch=self.fit.best_epoch,
            warnings=self._all_warnings(),
            keeps_held_out=self._params.held_out_dataset is not None,
        )
        measured = measuring.measure(model, course, tested, unseen)
        self._write(path, self._refitted or model)
        return {**measured, **self._summary(stopped_because)}

    def finish_fold(self) -> dict[str, Any]:
        """Return the result of a job that only measures a fold of its trial: no model, but metrics."""
        stopped_because = self.fit.stopped_early
        summary = self._summary(stopped_because)
        del summary["signature"]
        part = self._params.part
        assert part is not None  # noqa: S101  # the caller knows
        return {
            **measuring.measure_fold(self.fit.model()),
            **summary,
            "fold": part.fold,
            "folds": part.folds,
        }

    def _compare(self) -> Step:
        record = self._competition.compare_next()
        label = f"Candidate {len(self._competition.records)}/{self._competition.steps}: {record.algorithm}"
        if self._competition.is_finished:
            self._fit_winner()
        return Step(label, record)

    def _fit_winner(self) -> None:
        """Start the fit of the best candidate that fits into memory. Raises TooLargeToTrain if none does."""
        refused: TooLargeToTrain | None = None
        for number in self._competition.ranking:
            try:
                self._fit = self._start_fit(number)
            except TooLargeToTrain as error:
                refused = error
                self._warn(f"{self.plan.candidates.all[number].algorithm} was not chosen: {error.message}.")
                continue
            self._winner = number
            return
        assert refused is not None  # noqa: S101  # there is at least one candidate
        raise refused

    def _start_fit(self, number: int, saved: FitState | None = None) -> Fit:
        candidate = self.plan.candidates.all[number]
        return Fit(
            self.plan,
            candidate,
            train=self.plan.train,
            validation=self.plan.validation,
            epochs=self._epochs(candidate),
            saved=saved,
        )

    def _epochs(self, candidate: Candidate) -> int:
        if self._params.chooses and learners.divides_by_epochs(candidate.algorithm):
            # Without validation rows, nothing looks at the epochs in between.
            return 1 if self.plan.measured_by_choice else min(self._params.epochs, CHOSEN_EPOCHS)
        return self._params.epochs

    def _test_fold(self) -> Step:
        """Predict the rows of a fold by a model that did not learn from them."""
        started = time.perf_counter()
        number = len(self._folds) + 1
        fold = self.plan.split.folds[number - 1]
        if self.plan.measured_by_choice:
            predicted = self._competition.predict_fold(number - 1, self._winner)
        else:
            model = self._fit_again(fold)
            predicted = model.held_out(fold.test)
            self._first_fold = self._first_fold or (model if number == 1 else None)
        record = FoldRecord(
            fold=number,
            rows=len(fold.test),
            metrics=measuring.scores_of(self.plan, predicted),
            seconds=round(time.perf_counter() - started, 4),
        )
        self._folds.append(folds.save(record, predicted))
        return Step(f"Fold {number}/{len(self.plan.split.folds)}", record)

    def _unseen(self, model: FittedModel) -> Unseen:
        """Return rows that the model did not learn from; if it has learnt from all, a model of a fold."""
        main = self.plan.split.main
        if len(main.test):
            return Unseen(model, main.test)
        if len(main.validation):
            return Unseen(model, main.validation)
        first = self.plan.split.folds[0]
        if self.plan.measured_by_choice:
            return Unseen(self._competition.model_without_first_fold(self._winner), first.test)
        return Unseen(self._first_fold or self._fit_again(first), first.test)

    @property
    def _holds_out(self) -> bool:
        """Whether there are rows from which the model learns only in a last fit."""
        return self._params.refits and bool(len(self._held_out))

    @property
    def _held_out(self) -> Rows:
        """The rows of the training dataset that the fit does not learn from."""
        main = self.plan.split.main
        has_own_test = self.plan.split.method is SplitMethod.DATASET
        return np.concatenate((main.validation, NO_ROWS if has_own_test else main.test))

    def _refit(self) -> Step:
        """Fit the candidate on all rows of the dataset, for as many epochs as were best."""
        started = time.perf_counter()
        rows = np.unique(np.concatenate((self.plan.train, self._held_out)))
        rows = np.random.default_rng(self.plan.seed).permutation(rows)
        try:
            self._refitted = self._fit_again(Fold(rows, NO_ROWS, NO_ROWS), epochs=self.fit.best_epoch)
        except TooLargeToTrain as error:
            self._warn(f"The model was not fitted again on all rows: {error.message}.")
        record = RefitRecord(len(rows), round(time.perf_counter() - started, 4))
        self._refit_record = record
        return Step("Fit on all rows", record)

    def _fit_again(self, fold: Fold, epochs: int | None = None) -> FittedModel:
        """Fit the candidate on the rows of a fold: for these epochs, or as its validation rows choose.

        Epochs that only divide the work are not needed here.
        """
        candidate = self.fit.candidate
        share = 1.0
        if epochs is not None and learners.divides_by_epochs(candidate.algorithm):
            share, epochs = epochs / self._epochs(candidate), 1
        again = Fit(
            self.plan,
            Candidate(candidate.algorithm, candidate.params.shortened(share)),
            train=fold.train,
            validation=fold.validation,
            epochs=self._epochs(candidate) if epochs is None else epochs,
        )
        return again.run()

    def _caught(self) -> list[str]:
        """Return the warnings of all attempts so far."""
        of_fit = [] if self._fit is None else self._fit.warnings
        return list(dict.fromkeys((*self._warnings, *of_fit)))

    def _all_warnings(self) -> list[str]:
        return [*self.plan.warnings, *self._caught()]

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)

    def _write(self, path: Path, model: FittedModel) -> None:
        columns = tuple(
            ColumnMetadata(column.name, column.content, column.expected_type, column.missing_markers)
            for column in self.plan.inputs
            if column.content is not None
        )
        pipeline = features.pipeline(model.transformer, model.estimator)
        is_fitted_at_once = model is self._refitted or self.plan.measured_by_choice
        metadata = ModelMetadata(self.plan.target.task, columns)
        artifact.write(path, pipeline, metadata, may_be_resumed=not is_fitted_at_once)
        profile.write(path, profiling.of_plan(self.plan))

    def _summary(self, stopped_because: str | None) -> dict[str, Any]:
        """Return how the model was trained: signature, columns, algorithm, history, warnings."""
        plan, fit = self.plan, self.fit
        records = self._competition.records
        others: Sequence[Any] = [*records, *(fold.record for fold in self._folds)]
        refit = [] if self._refit_record is None else [self._refit_record]
        return {
            "signature": {
                "task": plan.target.task,
                "columns": [{"name": column.name, "type": column.expected_type} for column in plan.inputs],
                "classes": list(plan.target.classes) or None,
            },
            "task": plan.target.task,
            "target": self._params.target,
            "algorithm": fit.candidate.algorithm,
            "why": self._why(),
            "candidates": self._competition.leaderboard,
            "params": fit.candidate.params.model_dump(),
            "columns": [
                {
                    "name": column.name,
                    "type": column.content,
                    "used_as": column.used_as,
                    "reason": column.reason,
                }
                for column in plan.columns
            ],
            "epochs": len(fit.history),
            "best_epoch": fit.best_epoch,
            "stopped_early": stopped_because is not None,
            "stopped_because": stopped_because,
            "refit": self._refitted is not None or (self._params.refits and not self._holds_out),
            "train_rows": len(plan.train),
            "validation_rows": len(plan.validation),
            "test_rows": len(plan.split.test),
            "history": fit.history,
            "fit_seconds": round(sum(one.seconds for one in (*others, *fit.history, *refit)), 4),
            "warnings": self._all_warnings(),
            "library_versions": {
                "python": platform.python_version(),
                **{library: version(library) for library in LIBRARIES},
            },
        }

    def _why(self) -> str | None:
        if self._competition.steps:
            return self._competition.describe(self._winner)
        return self.plan.candidates.why
