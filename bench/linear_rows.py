"""Data for `bench.million`: a CSV with ten numbers and an id per row, a linear model, and its predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import skops.io
from pyarrow import csv
from sklearn.linear_model import LogisticRegression

COLUMNS: Final = tuple(f"x{place}" for place in range(10))
BATCH_SIZE: Final = 1000
"""The default batch size of jobs over datasets."""

_TRAINED_ON: Final = 2000
_SEED: Final = 20


def write(table: Path, model: Path, rows: int) -> None:
    """Write the CSV and the model file, the same in every run."""
    numbers = np.random.default_rng(_SEED).normal(size=(rows, len(COLUMNS))).round(6)
    named = {name: numbers[:, place] for place, name in enumerate(COLUMNS)}
    csv.write_csv(pa.table({"id": [f"r{row}" for row in range(rows)], **named}), table)
    known = numbers[:_TRAINED_ON]
    classes = np.array(["no", "yes"])[(known.sum(axis=1) + known[:, 0] ** 2 > 1).astype(int)]
    skops.io.dump(LogisticRegression().fit(known, classes), model)


def expected_rows(table: Path, model: Path) -> Iterator[dict[str, Any]]:
    """Yield the expected result row, with its id, of each row of the CSV, computed without Headrace."""
    estimator = skops.io.load(model)
    read = csv.read_csv(table)
    ids = read.column("id").to_pylist()
    numbers = np.column_stack([read.column(name).to_numpy() for name in COLUMNS])
    for first in range(0, len(ids), BATCH_SIZE):
        part = numbers[first : first + BATCH_SIZE]
        predicted = zip(estimator.predict(part).tolist(), estimator.predict_proba(part).tolist(), strict=True)
        for row, (label, scores) in enumerate(predicted, first):
            by_class = dict(zip(estimator.classes_.tolist(), scores, strict=True))
            prediction = {"label": label, "score": by_class[label], "scores": by_class}
            yield {"id": ids[row], "prediction": prediction}
