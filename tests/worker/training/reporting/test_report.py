"""The figures of a report are those of scikit-learn on the test rows."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from app.models.reports.report import MAX_CLASSES, MAX_CURVES, MAX_PAIRS, MAX_POINTS, Report
from tests.worker.training import data
from worker.training import features, table
from worker.training.fitted import FittedModel, HeldOut
from worker.training.outputs import ClassPredictions
from worker.training.reporting import curves, importance, thresholds
from worker.training.trainer import Training

MAX_BYTES = 300_000


def trained(rows: Any, path: Path, target: str = "target", **wanted: Any) -> tuple[FittedModel, Report]:
    training, result = data.trained(rows, path, target, **wanted)
    return fitted(training), result["report"]


def fitted(training: Training) -> FittedModel:
    return training.fit.model()


def noisy(count: int = 600, seed: int = 0) -> Any:
    """Return rows of two classes, of which one is rare. `signal` says something, `noise` nothing."""
    chance = np.random.default_rng(seed)
    signal = chance.normal(size=count)
    labels = np.where(signal + chance.normal(size=count) > 1.3, "yes", "no").tolist()
    return table.to_arrow(
        [
            {"signal": value, "noise": float(chance.normal()), "target": label}
            for value, label in zip(signal.tolist(), labels, strict=True)
        ]
    )


def test_the_scores_of_each_class_are_those_of_the_test_rows(tmp_path: Path) -> None:
    model, report = trained(data.iris(), tmp_path / "model", algorithm="logistic_regression")

    held_out = model.held_out(model.plan.split.main.test)
    assert report.classification is not None
    for one in report.classification.classes:
        is_class, is_predicted = held_out.truth == one.label, held_out.labels.labels == one.label
        column = held_out.labels.classes.index(one.label)
        scores = held_out.labels.scores[:, column]
        assert one.rows == is_class.sum()
        assert one.precision == pytest.approx(precision_score(is_class, is_predicted), rel=1e-5)
        assert one.recall == pytest.approx(recall_score(is_class, is_predicted), rel=1e-5)
        assert one.f1 == pytest.approx(f1_score(is_class, is_predicted), rel=1e-5)
        assert one.roc_auc == pytest.approx(roc_auc_score(is_class, scores), rel=1e-5)
        assert one.average_precision == pytest.approx(average_precision_score(is_class, scores), rel=1e-5)
    assert report.classification.threshold is None
    assert len(report.classification.roc) == 3


def test_the_curves_of_two_classes_are_those_of_the_rarer_one(tmp_path: Path) -> None:
    _, report = trained(noisy(), tmp_path / "model", algorithm="logistic_regression")

    found = report.classification
    assert found is not None
    assert [curve.label for curve in (*found.roc, *found.precision_recall)] == ["yes", "yes"]
    [roc] = found.roc
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    area = float(np.trapezoid(roc.y, roc.x))
    assert area == pytest.approx(found.classes[1].roc_auc, abs=0.01)
    assert sum(part.rows for part in found.calibration[0].bins) == report.split.test_rows


def test_a_calibrated_model_has_no_error_and_a_boastful_one_has() -> None:
    chance = np.random.default_rng(0)
    probabilities = chance.random(20_000)
    is_class = chance.random(20_000) < probabilities

    honest = curves.calibration("yes", is_class, probabilities)
    boastful = curves.calibration("yes", is_class, np.where(probabilities > 0.5, 1.0, 0.0))

    assert honest.error < 0.02
    assert boastful.error == pytest.approx(0.25, abs=0.02)
    assert len(honest.bins) == curves.CALIBRATION_BINS


# The threshold


def held_out(truth: list[bool], scores: list[float]) -> HeldOut:
    values = np.array(scores)
    labels = np.where(values >= 0.5, "yes", "no")
    return HeldOut(
        np.arange(len(truth)),
        np.where(truth, "yes", "no"),
        ClassPredictions(
            ("no", "yes"), np.column_stack((1 - values, values)), labels, are_probabilities=True
        ),
    )


def test_the_threshold_is_chosen_on_validation_rows_and_measured_on_test_rows() -> None:
    validation = held_out([False, False, True, True], [0.1, 0.2, 0.3, 0.9])
    test = held_out([False, True, True, False], [0.1, 0.35, 0.6, 0.32])

    found = thresholds.choose("yes", validation, test)

    assert found is not None
    assert found.chosen.threshold == 0.3
    assert found.chosen.precision == pytest.approx(2 / 3, rel=1e-5)
    assert found.chosen.recall == 1
    assert (found.default.precision, found.default.recall) == (1, 0.5)
    assert max(scores.f1 for scores in found.candidates) == 1


def test_the_default_threshold_stays_unless_another_is_better() -> None:
    perfect = held_out([False, True, False, True], [0.1, 0.9, 0.2, 0.8])

    found = thresholds.choose("yes", perfect, perfect)

    assert found is not None
    assert found.chosen.threshold == 0.5


def test_without_validation_rows_one_half_of_the_test_rows_chooses() -> None:
    test = held_out([False, True] * 10, [0.1, 0.9] * 10)

    found = thresholds.choose("yes", None, test.part(np.repeat(np.arange(20), 2)))

    assert found is not None
    assert thresholds.choose("yes", None, test.part(slice(0, 1))) is None


def test_the_best_of_all_thresholds_is_found(tmp_path: Path) -> None:
    model, report = trained(noisy(), tmp_path / "model", algorithm="logistic_regression")

    validation = model.held_out(model.plan.split.main.validation)
    scores = validation.labels.scores[:, 1]
    by_hand = max(f1_score(validation.truth == "yes", scores >= value) for value in scores)
    assert report.classification is not None
    assert report.classification.threshold is not None
    chosen = report.classification.threshold.chosen.threshold
    assert f1_score(validation.truth == "yes", scores >= chosen) == pytest.approx(by_hand)


# Importance


def test_only_columns_that_matter_are_important(tmp_path: Path) -> None:
    _, report = trained(noisy(), tmp_path / "model", algorithm="logistic_regression")

    assert report.importance is not None
    drops = {column.name: column.mean for column in report.importance.columns}
    assert list(drops) == ["signal", "noise"]
    assert drops["signal"] > 0.1 > abs(drops["noise"])
    assert report.importance.metric == "balanced_accuracy"


@pytest.mark.parametrize("rows", [data.diabetes, lambda: table.to_arrow(data.customers(200))])
def test_importance_is_the_same_in_each_attempt(rows: Any, tmp_path: Path) -> None:
    first = trained(rows(), tmp_path / "first")[1]
    again = trained(rows(), tmp_path / "again")[1]

    assert first.importance == again.importance
    assert first.importance is not None
    assert first.importance.columns[0].mean > 0


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [(1, 50, 50), (1, 5000, importance.MAX_ROWS), (100, 5000, 133), (500, 5000, 26), (4000, 5000, 0)],
)
def test_a_wide_table_shuffles_fewer_rows_and_a_very_wide_one_none(
    columns: int, rows: int, expected: int
) -> None:
    assert importance.sample_size(columns, rows) == expected


def test_shuffled_columns_are_predicted_as_rows_are(tmp_path: Path) -> None:
    model, _ = trained(table.to_arrow(data.customers(120)), tmp_path / "model", algorithm="mlp", epochs=2)
    rows = model.plan.split.main.test

    predicted = model.predict_cells({name: values[rows] for name, values in model.plan.cells.items()})

    assert isinstance(predicted, ClassPredictions)
    assert (predicted.scores == model.held_out(rows).labels.scores).all()
    assert features.pipeline_rows(model.plan.inputs, model.plan.cells, rows) is not None


# A regression, and sizes


def test_a_regression_shows_its_errors(tmp_path: Path) -> None:
    model, report = trained(data.diabetes(), tmp_path / "model", algorithm="ridge")

    test = model.held_out(model.plan.split.main.test)
    assert report.regression is not None
    assert report.classification is None
    errors = test.values - test.truth
    assert report.regression.error_quantiles == pytest.approx(
        np.quantile(errors, report.regression.error_levels), rel=1e-5, abs=1e-9
    )
    assert sorted(report.regression.actual) == pytest.approx(sorted(test.truth))


def test_the_learning_curve_has_each_epoch(tmp_path: Path) -> None:
    _, report = trained(data.wine(), tmp_path / "model", algorithm="mlp", epochs=5, params={"patience": 0})

    assert [scores.epoch for scores in report.learning_curve] == [1, 2, 3, 4, 5]
    assert all(scores.seconds is not None and scores.seconds >= 0 for scores in report.learning_curve)
    losses = [scores.valid_loss for scores in report.learning_curve]
    assert losses.index(min(filter(None, losses))) == report.best_epoch - 1


def test_a_report_stays_small_however_many_rows_and_classes(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    rows = [
        {f"a column with a long name {column}": float(chance.normal()) for column in range(12)}
        | {"target": f"class {row % 300}"}
        for row in range(3000)
    ]

    _, report = trained(table.to_arrow(rows), tmp_path / "model", algorithm="multinomial_nb")
    as_numbers = [{**row, "target": row["a column with a long name 1"]} for row in rows]
    _, numbers = trained(table.to_arrow(as_numbers), tmp_path / "numbers", algorithm="ridge")

    assert report.classification is not None
    assert len(report.classification.classes) == MAX_CLASSES
    assert len(report.classification.roc) == MAX_CURVES
    assert max(len(curve.x) for curve in report.classification.roc) <= MAX_POINTS
    assert len(msgspec.json.encode(report)) < MAX_BYTES
    assert numbers.regression is not None
    assert len(numbers.regression.actual) == MAX_PAIRS


def test_a_class_without_test_rows_has_no_areas(tmp_path: Path) -> None:
    rows = [{"x": index, "target": "ab"[index % 2]} for index in range(60)]

    _, report = trained(table.to_arrow([*rows, {"x": 61, "target": "c"}]), tmp_path / "model")

    assert report.classification is not None
    alone = next(one for one in report.classification.classes if one.label == "c")
    assert (alone.rows, alone.roc_auc, alone.average_precision) == (0, None, None)
