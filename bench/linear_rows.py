"""The rows of `bench.million`: ten numbers and an id in a CSV, a linear model, and what it says of them."""

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
"""What a job over a dataset has by default."""

_TRAINED_ON: Final = 2000
_SEED: Final = 20


def write(table: Path, model: Path, rows: int) -> None:
    """Write the CSV and the model's file: the same ones in every run."""
    numbers = np.random.default_rng(_SEED).normal(size=(rows, len(COLUMNS))).round(6)
    named = {name: numbers[:, place] for place, name in enumerate(COLUMNS)}
    csv.write_csv(pa.table({"id": [f"r{row}" for row in range(rows)], **named}), table)
    known = numbers[:_TRAINED_ON]
    classes = np.array(["no", "yes"])[(known.sum(axis=1) + known[:, 0] ** 2 > 1).astype(int)]
    skops.io.dump(LogisticRegression().fit(known, classes), model)


def by_hand(table: Path, model: Path) -> Iterator[dict[str, Any]]:
    """What the model says, loaded by hand, of the CSV, read by hand: each row with its id."""
    estimator = skops.io.load(model)
    read = csv.read_csv(table)
    ids = read.column("id").to_pylist()
    numbers = np.column_stack([read.column(name).to_numpy() for name in COLUMNS])
    for first in range(0, len(ids), BATCH_SIZE):
        part = numbers[first : first + BATCH_SIZE]
        said = zip(estimator.predict(part).tolist(), estimator.predict_proba(part).tolist(), strict=True)
        for row, (label, scores) in enumerate(said, first):
            by_class = dict(zip(estimator.classes_.tolist(), scores, strict=True))
            prediction = {"label": label, "score": by_class[label], "scores": by_class}
            yield {"id": ids[row], "prediction": prediction}
