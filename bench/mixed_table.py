"""Data for `bench.mixed_rows`: a CSV of numbers, categories and texts with gaps, and a pipeline for it."""

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.cli.demo_texts import make_texts

NUMBERS: Final = ("x0", "x1", "x2", "x3", "x4")
CATEGORIES: Final = ("x5", "x6", "x7")
TEXT: Final = "x8"
"""The columns of a model that was fitted on an array have these names."""

ID: Final = "id"
TARGET: Final = "churned"
INPUTS: Final = (*NUMBERS, *CATEGORIES, TEXT)
BATCH_SIZE: Final = 1000
"""The default batch size of jobs over datasets."""

TRAINED_ON: Final = 5000

_GAPS: Final = 0.05
"""The share of numbers and of categories that are missing."""

_SEED: Final = 21


def write(table: Path, rows: int) -> None:
    """Write the CSV, the same in every run. The first rows do not depend on their number."""
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ID, *INPUTS, TARGET])
        writer.writerows(_rows(rows))


def write_model(table: Path, model: Path) -> None:
    """Fit a pipeline on the CSV as a data scientist does, and write it to a file."""
    with table.open(newline="") as file:
        known = list(csv.DictReader(file))
    features = np.empty((len(known), len(INPUTS)), dtype=object)
    for place, name in enumerate(INPUTS):
        features[:, place] = [_cell(name, row[name]) for row in known]
    texts = INPUTS.index(TEXT)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="(missing)"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, _places(NUMBERS)),
            ("categories", categories, _places(CATEGORIES)),
            ("words", TfidfVectorizer(), texts),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=500))])
    skops.io.dump(pipeline.fit(features, [row[TARGET] for row in known]), model)


def _places(names: Sequence[str]) -> list[int]:
    return [INPUTS.index(name) for name in names]


def _cell(name: str, text: str) -> Any:
    if name in NUMBERS:
        return float(text) if text else np.nan
    return text or None


def _rows(count: int) -> Iterator[list[str]]:
    chance = random.Random(_SEED)
    texts = make_texts(TRAINED_ON, seed=_SEED)
    countries, products = [f"country {n}" for n in range(12)], [f"p-{n:03}" for n in range(60)]
    for row in range(count):
        amount, balance = chance.gauss(100, 25), chance.gauss(0, 900)
        age, visits, ratio = chance.randint(18, 90), chance.randint(0, 400), chance.random()
        country, plan = chance.choice(countries), chance.choice(("free", "basic", "team", "pro"))
        told = [f"{amount:.2f}", f"{balance:.2f}", str(age), str(visits), f"{ratio:.4f}"]
        cells = [*told, country, chance.choice(products), plan]
        given = ["" if chance.random() < _GAPS else cell for cell in cells]
        comment = chance.choice(texts)
        risk = (amount - 100) / 25 + (plan == "free") - visits / 200 + ratio + chance.gauss(0, 0.5)
        yield [f"r{row}", *given, comment, "yes" if risk > 0.3 else "no"]
