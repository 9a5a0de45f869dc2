"""Compare candidates by cross-validation on a sample of the rows, in rounds that fewer and fewer survive.

All decisions follow from rows, params and seed, not from the time that anything takes. With few
candidates there is one round. With more, each round keeps the best third of the candidates and
takes three times the rows (successive halving: Jamieson and Talwalkar, 2016).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.jobs.searches.halving import KEPT, contestants_of_rounds
from app.jobs.searches.space import LOWER_IS_BETTER
from app.models.versions import Task
from worker.context import BadInput
from worker.training import learners, measuring
from worker.training.candidates import Candidate
from worker.training.checkpoint import CandidateRecord
from worker.training.features import without_warnings
from worker.training.fit import Diverged, Encoded, encode, training_data
from worker.training.fitted import FittedModel, HeldOut, are_alike
from worker.training.learners import Learner
from worker.training.memory import TooLargeToTrain
from worker.training.plan import Plan
from worker.training.split import Purpose, Rows

SAMPLE_ROWS: Final = 5000
"""The rows of the last round."""

MIN_SAMPLE_ROWS: Final = 200
"""The least rows of a round, if there are as many."""

FEW_ROWS: Final = 2000
"""Below, three folds instead of two: each row more to learn from counts."""

REGRESSION_METRICS: Final = frozenset({"r2", "rmse", "mae"})

IMBALANCE: Final = 0.75
"""From this share of the most frequent class on, F1 compares candidates: accuracy says little."""


@dataclass(frozen=True)
class _Entry:
    """A candidate as it was fitted without a fold, and its predictions for this."""

    model: FittedModel
    predicted: HeldOut


class Competition:
    """Candidates that compete on rows of a plan. Call `compare_next` until `is_finished`."""

    def __init__(
        self, plan: Plan, candidates: Sequence[Candidate], rows: Rows, records: Sequence[CandidateRecord] = ()
    ) -> None:
        """Start a competition, or resume it after these records.

        Raises BadInput if the metric is for another task.
        """
        self.metric: Final = plan.metric or _default_metric(plan, rows)
        is_of_regression = self.metric in REGRESSION_METRICS
        if is_of_regression is not (plan.target.task is Task.REGRESSION):
            raise BadInput(f"search: the metric {self.metric} is not for {plan.target.task}; choose another")
        self.records: Final = list(records)
        self._plan = plan
        self._candidates = candidates
        self._rows = rows
        self._rounds = contestants_of_rounds(len(candidates)) if len(candidates) > 1 else ()
        self._encoded: dict[tuple[int, Any, int], Encoded] = {}
        self._predictions: dict[tuple[int, int], HeldOut] = {}
        self._models: dict[int, FittedModel] = {}

    @property
    def steps(self) -> int:
        """How many comparisons there are in all rounds."""
        return sum(self._rounds)

    @property
    def is_finished(self) -> bool:
        """Whether every round has ended."""
        return len(self.records) >= self.steps

    @property
    def ranking(self) -> list[int]:
        """The numbers of the candidates, the best first: by their last round, and by the score in it."""
        latest = {record.candidate: record for record in self.records}
        return sorted(
            range(len(self._candidates)),
            key=lambda number: self._order(latest[number]) if number in latest else (0, 0.0, number),
        )

    @property
    def leaderboard(self) -> list[CandidateRecord]:
        """The last record of each candidate, the best first."""
        latest = {record.candidate: record for record in self.records}
        return [latest[number] for number in self.ranking if number in latest]

    def compare_next(self) -> CandidateRecord:
        """Measure the next candidate of the round; one that fails has no score."""
        started = time.perf_counter()
        in_round, position = self._next()
        number = self._contestants(in_round)[position]
        candidate = self._candidates[number]
        folds = self._folds(in_round)
        scores: list[float | None] = []
        failure = None
        try:
            for index, fold in enumerate(folds):
                entry = self._enter(number, in_round, index, fold)
                scores.append(_finite(measuring.score_of(self._plan, entry.predicted, self.metric)))
                self._keep(number, index, entry)
        except (TooLargeToTrain, Diverged, BadInput) as error:
            scores, failure = [], error.message
        found = [value for value in scores if value is not None]
        record = CandidateRecord(
            candidate=number,
            round=in_round + 1,
            algorithm=candidate.algorithm,
            params=candidate.params.model_dump(),
            rows=sum(len(fold[1]) for fold in folds) if len(folds) > 1 else sum(map(len, folds[0])),
            folds=len(folds),
            metric=self.metric,
            score=float(np.mean(found)) if found else None,
            seconds=round(time.perf_counter() - started, 4),
            failure=failure,
            fold_scores=scores,
        )
        self.records.append(record)
        if position + 1 == self._rounds[in_round]:
            self._encoded.clear()
        return record

    def predict_fold(self, index: int, winner: int) -> HeldOut:
        """Predict the rows of a fold of the plan, by models that did not learn from them.

        The rows do not choose either: of the winner and those that it beat, the candidate predicts that was
        best on the other folds. Nearly always that is the winner. Only of a plan `measured_by_choice`.
        """
        beaten = self.ranking[self.ranking.index(winner) :]
        records = {record.candidate: record for record in self.records}
        chosen = min(beaten, key=lambda number: self._order_without(records[number], index))
        own, other = self._prediction(winner, index), self._prediction(chosen, index)
        # Margins and probabilities make no common curve.
        return other if are_alike(own, other) else own

    def model_without_first_fold(self, winner: int) -> FittedModel:
        """Return the winner as it was fitted without the first fold of the plan."""
        if winner not in self._models:
            self._enter_again(winner, 0)
        return self._models[winner]

    def _prediction(self, number: int, index: int) -> HeldOut:
        if (number, index) not in self._predictions:
            self._enter_again(number, index)
        return self._predictions[number, index]

    def _enter_again(self, number: int, index: int) -> None:
        """Repeat what an earlier attempt did, with the same result."""
        in_round = len(self._rounds) - 1
        self._keep(number, index, self._enter(number, in_round, index, self._folds(in_round)[index]))

    def _keep(self, number: int, index: int, entry: _Entry) -> None:
        """Keep what measures the training: all predictions, but not the models, which may be large."""
        if self._plan.measured_by_choice:
            self._predictions[number, index] = entry.predicted
            if index == 0:
                self._models[number] = entry.model

    def _order_without(self, record: CandidateRecord, index: int) -> tuple[float, int]:
        """Return a key by which candidates come first that are better on the other folds."""
        others = [
            score for fold, score in enumerate(record.fold_scores) if fold != index and score is not None
        ]
        return (self._sign * float(np.mean(others)) if others else np.inf, record.candidate)

    def describe(self, winner: int) -> str:
        """Return why this candidate was chosen, as a sentence."""
        last = max(record.round for record in self.records)
        finalists = [
            record
            for record in sorted(self.records, key=self._order)
            if record.round == last and record.score is not None
        ]
        if not any(record.candidate == winner for record in finalists):
            return "The candidates could not be compared; this is the first one that could be trained."
        best = next(record for record in finalists if record.candidate == winner)
        rank = "Best" if best is finalists[0] else "Next best"
        others = ", ".join(f"{one.algorithm} {one.score:.3f}" for one in finalists if one is not best)
        how = f"{best.folds}-fold cross-validation on {best.rows} rows"
        return f"{rank} {self.metric} of {len(self._candidates)} candidates in a {how}: {best.score:.3f}" + (
            f"; {others}." if others else "."
        )

    def _order(self, record: CandidateRecord) -> tuple[int, float, int]:
        """Return a key by which better records come first; of equals, the candidate that was named first."""
        if record.score is None:
            return (-record.round, np.inf, record.candidate)
        return (-record.round, self._sign * record.score, record.candidate)

    @property
    def _sign(self) -> int:
        """1 if the lower value of the metric is the better one, else -1."""
        return 1 if self.metric in LOWER_IS_BETTER else -1

    def _next(self) -> tuple[int, int]:
        """Return the round and the position in it of the next comparison."""
        left = len(self.records)
        for in_round, count in enumerate(self._rounds):
            if left < count:
                return in_round, left
            left -= count
        raise RuntimeError("the competition has ended")

    def _contestants(self, in_round: int) -> list[int]:
        if in_round == 0:
            return list(range(len(self._candidates)))
        previous = sorted((one for one in self.records if one.round == in_round), key=self._order)
        return [record.candidate for record in previous[: self._rounds[in_round]]]

    def _folds(self, in_round: int) -> list[tuple[Rows, Rows]]:
        """Return the rows to fit and to measure on: folds of the sample, or the validation rows if few."""
        plan = self._plan
        if plan.measured_by_choice:
            return [(fold.train, fold.test) for fold in plan.split.folds]
        share = KEPT ** (len(self._rounds) - 1 - in_round)
        count = min(len(self._rows), max(SAMPLE_ROWS // share, MIN_SAMPLE_ROWS))
        sample = self._rows[:count]
        try:
            folds = list(plan.splitter.cross_validation(sample, 3 if count < FEW_ROWS else 2))
        except BadInput:  # too few groups or times
            folds = []
        folds = [fold for fold in folds if len(fold[1]) and self._can_learn(fold[0])]
        return folds or [plan.splitter.divide(self._rows, 0.25, Purpose.VALIDATION)]

    def _can_learn(self, rows: Rows) -> bool:
        target = self._plan.target
        return target.task is Task.REGRESSION or len(np.unique(target.values[rows])) > 1

    def _enter(self, number: int, in_round: int, index: int, fold: tuple[Rows, Rows]) -> _Entry:
        """Fit a candidate without a fold, and predict this. Raises TooLargeToTrain, Diverged and BadInput."""
        train, held_out = fold
        plan, candidate = self._plan, self._candidates[number]
        name = candidate.algorithm
        key = (in_round, learners.shape(name), index)
        if key not in self._encoded:
            self._encoded[key] = encode(plan, name, train)
        encoded = self._encoded[key]
        epochs = 1 if learners.divides_by_epochs(name) else plan.epochs
        data = training_data(plan, name, train, encoded.rows, epochs)
        with without_warnings():
            learner: Learner = learners.start(name, candidate.params.for_competition(), data)
            for epoch in range(1, epochs + 1):
                if learner.ended:
                    break
                learner.learn(epoch)
            model = FittedModel(plan, encoded.transformer, learner.estimator())
            predicted = model.held_out(held_out)
        if isinstance(predicted.predicted, np.ndarray) and not np.isfinite(predicted.predicted).all():
            raise Diverged(epochs)
        return _Entry(model, predicted)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _default_metric(plan: Plan, rows: Rows) -> str:
    if plan.target.task is Task.REGRESSION:
        return "r2"
    counts = np.unique(plan.target.values[rows], return_counts=True)[1]
    return "f1_macro" if counts.max() >= IMBALANCE * counts.sum() else "accuracy"
