"""Dates, rare words and columns of many categories as features."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import VarianceThreshold

from tests.worker.training import data
from worker.cells import Content
from worker.runtimes.sklearn import inspection
from worker.training import features, table
from worker.training.columns import Column
from worker.training.features import Shape

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def moments(hours: int, step: int) -> list[datetime]:
    return [MONDAY + timedelta(hours=hour) for hour in range(0, hours, step)]


@pytest.mark.parametrize(
    ("cycle", "value"),
    [
        ("day", lambda moment: 5.0 if moment.hour < 6 else 0.0),
        ("week", lambda moment: 5.0 if moment.weekday() >= 5 else 0.0),
        ("year", lambda moment: 5.0 if moment.month in (6, 7, 8) else 0.0),
    ],
)
def test_a_linear_model_learns_what_recurs_in_a_date(cycle: str, value: Any, tmp_path: Path) -> None:
    rows = [
        {"at": moment.isoformat(), "target": value(moment) + index % 3 * 0.01}
        for index, moment in enumerate(moments(2 * 366 * 24, 17))
    ]

    _, result = data.trained(table.to_arrow(rows), tmp_path / "model", algorithm="ridge")

    assert result["r2"] > 0.7
    encoder = inspection.load(tmp_path / "model")[0]
    assert f"{cycle}_0" in [name for name, _, _ in encoder.transformers_]


def test_days_of_the_week_are_told_apart_exactly() -> None:
    column = Column("at", Content.DATE, "dates")
    days = np.array(
        [(MONDAY + timedelta(days=day) - datetime(1970, 1, 1, tzinfo=UTC)).days for day in range(28)], float
    )

    transformer = features.fit([column], {"at": days}, np.arange(len(days)), Shape.TREES, seed=0)
    [week] = [part for name, part, _ in transformer.transformers_ if name.startswith("week")]

    shares = week.transform(days.reshape(-1, 1))
    assert shares.shape == (28, 7)
    assert sorted(shares.max(axis=0)) == pytest.approx([1.0] * 7)
    assert (shares[:7] == shares[7:14]).all()


def test_words_of_a_single_row_are_left_out() -> None:
    column = Column("text", Content.TEXT, "texts")
    texts = np.array(
        [f"{'good' if row % 2 else 'bad'} thing unique{row}" for row in range(200)], dtype=object
    )

    transformer = features.fit([column], {"text": texts}, np.arange(len(texts)), Shape.SCALED, seed=0)

    [selection] = [step for _, step in transformer.steps if isinstance(step, VarianceThreshold)]
    kept = int(selection.get_support().sum())
    # good, bad, and both followed by thing; thing itself is in every row. Two rare words may share a bucket.
    assert 4 <= kept <= 8
    assert transformer.transform(["never seen"]).shape == (1, kept)


def test_many_categories_get_ordinals_for_trees_too() -> None:
    column = Column("zip", Content.CATEGORY, "categories")
    zips = np.array([f"z{row % 150:03}" for row in range(600)], dtype=object)

    matrix = features.fit([column], {"zip": zips}, np.arange(600), Shape.TREES, seed=0).transform(
        zips.reshape(-1, 1)
    )

    assert matrix.shape[1] == features.MAX_DENSE_ONE_HOT + 1
    assert len(np.unique(matrix[:, -1])) == 150


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize(
    "text",
    [
        lambda row: "fine words of a note",
        lambda row: "same",
        lambda row: "",
        lambda row: "!?",
        lambda row: f"number{row} {row}",
        lambda row: "yes it is" if row % 2 else "",
    ],
    ids=["one sentence", "one word", "empty", "no words", "all different", "present or not"],
)
@pytest.mark.parametrize("rows", [4, 150])
def test_texts_with_hardly_any_words_are_encoded(rows: int, text: Any, shape: Shape) -> None:
    columns = [Column("note", Content.TEXT, "text"), Column("x", Content.NUMBER, "number")]
    cells = {"note": np.array([text(row) for row in range(rows)], dtype=object), "x": np.arange(float(rows))}

    for used in (columns, columns[:1]):
        with features.without_warnings():
            transformer = features.fit(used, cells, np.arange(rows), shape, seed=0)
            encoded = features.transform(transformer, used, cells, np.arange(rows))

        assert encoded.shape[0] == rows
        dense = encoded.toarray() if hasattr(encoded, "toarray") else encoded
        assert np.isfinite(np.asarray(dense, dtype=float)).all()
