"""Quality of `auto`: against models made by hand with scikit-learn's defaults, on real data sets.

A quarter of the rows is untouched: neither side sees it. Up to 10 000 rows, each quarter is untouched once,
and the figures are means. By hand: logistic regression or ridge, a random forest, histogram gradient
boosting; for texts TF-IDF with a linear model or a linear SVM, and naive Bayes. Time is processor time in one
thread.

Writes docs/quality.md. `python -m bench.quality NAMES…` measures these sets only, and prints.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from app.jobs.params import TrainModelParams
from app.models.versions import Task
from bench import machine
from bench.real_data import REAL_DATA, RealData
from bench.stack import ROOT
from worker.cells import Content
from worker.training import features, measuring, threads
from worker.training.fitted import HeldOut
from worker.training.outputs import classify, estimate
from worker.training.plan import CROSS_VALIDATED_ROWS, Plan, make_plan
from worker.training.split import Rows
from worker.training.trainer import Training

PAGE = ROOT / "docs/quality.md"
QUARTERS = 4
SEED = 7


@dataclass(frozen=True)
class Quarter:
    """The figures of one quarter of the rows that was untouched; scores are in points."""

    by_hand: dict[str, float]
    auto: float
    reported: float
    algorithm: str
    seconds: float
    seconds_by_hand: float


@dataclass(frozen=True)
class Mean:
    """The mean of a figure over the quarters, and its standard error; None for a single quarter."""

    value: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the mean of one value for each quarter."""
        spread = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        return cls(float(np.mean(values)), spread)

    def differs_from(self, low: float, high: float) -> bool:
        """Whether it is outside of a range, and by more than chance: two standard errors."""
        distance = max(low - self.value, self.value - high)
        return distance > 0 and (self.error is None or distance > 2 * self.error)

    def __str__(self) -> str:
        """Return the mean with its error."""
        return f"{self.value:+.1f}" + ("" if self.error is None else f" ± {self.error:.1f}")


@dataclass(frozen=True)
class Measured:
    """The figures of one data set; scores are in points."""

    data: RealData
    rows: int
    columns: int
    quarters: Sequence[Quarter]

    @property
    def best(self) -> str:
        """The best model by hand."""
        names = self.quarters[0].by_hand
        return max(names, key=lambda name: sum(one.by_hand[name] for one in self.quarters))

    @property
    def gap(self) -> Mean:
        """How many points `auto` is better than the best by hand."""
        return Mean.of([one.auto - one.by_hand[self.best] for one in self.quarters])

    @property
    def honesty(self) -> Mean:
        """How many points the reported metric is above that of the untouched rows."""
        return Mean.of([one.reported - one.auto for one in self.quarters])

    @property
    def time(self) -> float:
        """The time of the training, as a multiple of the sum of the candidates by hand."""
        return sum(one.seconds for one in self.quarters) / sum(one.seconds_by_hand for one in self.quarters)


def measure(data: RealData, table: pa.Table) -> Measured:
    """Train both sides on the same rows and measure them on the untouched ones."""
    whole = make_plan(table, TrainModelParams(target="target", seed=SEED))
    rows = np.arange(len(whole.target.rows))
    quarters = list(whole.splitter.cross_validation(rows, QUARTERS))
    used = quarters if len(rows) <= CROSS_VALIDATED_ROWS else quarters[:1]
    found = [_measure_quarter(data, table, whole, *quarter) for quarter in used]
    return Measured(data, len(quarters[0][0]), len(whole.inputs), found)


def _measure_quarter(data: RealData, table: pa.Table, whole: Plan, seen: Rows, untouched: Rows) -> Quarter:
    by_hand, seconds_by_hand = {}, 0.0
    for name, model in _models(whole).items():
        started = time.process_time()
        model.fit(_inputs(whole, seen), whole.target.values[seen])
        seconds_by_hand += time.process_time() - started
        by_hand[name] = _score(data, whole, model, untouched)
    started = time.process_time()
    training = Training(
        table.take(pa.array(whole.target.rows[seen])), TrainModelParams(target="target", seed=SEED)
    )
    while not training.is_finished:
        training.advance()
    with tempfile.TemporaryDirectory() as folder:
        result = training.finish(Path(folder) / "model.skops")
    seconds = time.process_time() - started
    model = training._refitted or training.fit.model()
    matrix = features.transform(model.transformer, training.plan.inputs, whole.cells, untouched)
    predicted = (classify if whole.target.task is Task.CLASSIFICATION else estimate)(model.estimator, matrix)
    held_out = HeldOut(untouched, whole.target.values[untouched], predicted)
    return Quarter(
        by_hand,
        100 * measuring.scores_of(whole, held_out)[data.metric],
        100 * result["metrics"][data.metric],
        result["algorithm"],
        seconds,
        seconds_by_hand,
    )


def _models(plan: Plan) -> dict[str, Any]:
    is_classification = plan.target.task is Task.CLASSIFICATION
    linear = LogisticRegression(max_iter=1000) if is_classification else Ridge()
    texts = [index for index, column in enumerate(plan.inputs) if column.content is Content.TEXT]
    if len(texts) == len(plan.inputs) == 1:
        return _text_models(linear, is_classification=is_classification)
    forest = (RandomForestClassifier if is_classification else RandomForestRegressor)(random_state=SEED)
    boosting = (HistGradientBoostingClassifier if is_classification else HistGradientBoostingRegressor)(
        random_state=SEED
    )
    return {
        "linear": make_pipeline(_encoder(plan, is_scaled=True), linear),
        "forest": make_pipeline(_encoder(plan), forest),
        "boosting": make_pipeline(_encoder(plan), boosting),
    }


def _text_models(linear: Any, *, is_classification: bool) -> dict[str, Any]:
    """Return one model for each algorithm that `auto` lets compete on texts."""
    models = {"TF-IDF + linear": make_pipeline(TfidfVectorizer(), linear)}
    if is_classification:
        models["TF-IDF + SVM"] = make_pipeline(TfidfVectorizer(), LinearSVC(random_state=SEED))
        models["counts + naive Bayes"] = make_pipeline(CountVectorizer(), MultinomialNB())
    return models


def _encoder(plan: Plan, *, is_scaled: bool = False) -> Any:
    numbers = [index for index, column in enumerate(plan.inputs) if column.used_as == "number"]
    others = [index for index, column in enumerate(plan.inputs) if column.used_as != "number"]
    scaler = (StandardScaler(),) if is_scaled else ()
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), *scaler), numbers),
        (
            make_pipeline(
                SimpleImputer(missing_values=None, strategy="constant", fill_value="missing"),
                OneHotEncoder(handle_unknown="ignore", max_categories=100, sparse_output=False),
            ),
            others,
        ),
    )


def _inputs(plan: Plan, rows: Rows) -> Any:
    return features.pipeline_rows(plan.inputs, plan.cells, rows)


def _score(data: RealData, plan: Plan, model: Any, rows: Rows) -> float:
    find = classify if plan.target.task is Task.CLASSIFICATION else estimate
    held_out = HeldOut(rows, plan.target.values[rows], find(model, _inputs(plan, rows)))
    return float(100 * measuring.scores_of(plan, held_out)[data.metric])


def main() -> int:
    """Measure the sets, print them, and write the page if all were measured."""
    threads.limit_to_one()
    warnings.simplefilter("ignore")
    names = sys.argv[1:]
    found = []
    for data in REAL_DATA:
        if names and data.name not in names:
            continue
        table = data.table()
        if table is None:
            print(f"{data.name}: {data.source} is not installed")
            continue
        found.append(measure(data, table))
        print(_line(found[-1]), flush=True)
    if not names:
        PAGE.write_text(_page(found), encoding="utf-8")
    return 0


def _line(one: Measured) -> str:
    best = Mean.of([quarter.by_hand[one.best] for quarter in one.quarters]).value
    auto = Mean.of([quarter.auto for quarter in one.quarters]).value
    chosen = ", ".join(f"`{name}`" for name in sorted({quarter.algorithm for quarter in one.quarters}))
    return (
        f"| {one.data.name} | {one.data.source} | {one.rows} | {one.columns} | {one.data.metric} |"
        f" {best:.1f} ({one.best}) | {auto:.1f} ({chosen}) | {one.gap} | {one.honesty} | {one.time:.1f} |"
    )


def _page(found: list[Measured]) -> str:
    close = sum(not one.gap.differs_from(-1, np.inf) for one in found)
    low = sum(one.honesty.differs_from(-1, np.inf) for one in found)
    high = sum(one.honesty.differs_from(-np.inf, 1) for one in found)
    quick = sum(one.time <= 2 for one in found)
    return "\n".join(
        [
            "# Quality of `auto`",
            "",
            "`python -m bench.quality` writes this page. It compares a training with all defaults with",
            "models made by hand with scikit-learn's defaults, on real data sets that packages carry. A",
            "quarter of the rows is untouched: no side sees it, and all scores are measured there, in points",
            "(100 × accuracy, F1 macro or R²). Up to 10 000 rows, each quarter is untouched once, and a",
            "figure is the mean ± its standard error: on few rows, a point is within chance.",
            "",
            f"- `auto` is at most 1 point below the best model by hand, or within two standard errors of"
            f" that, on {close} of {len(found)} data sets.",
            f"- The metric that the result reports is as close to that of the untouched rows on"
            f" {len(found) - low - high}. It is higher on {high}, and lower on {low}: up to 10 000 rows it is"
            " that of models which learnt from two thirds of the rows, with fewer trees.",
            f"- It takes at most twice the processor time of all models by hand on {quick}.",
            "",
            f"**Machine** ({machine.today()})"
            f" {', '.join(f'{name}: {value}' for name, value in machine.describe().items())}.",
            "",
            "| data | from | rows | columns | metric | best by hand | `auto` | `auto` − best |"
            " reported − untouched | time × |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *map(_line, found),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
