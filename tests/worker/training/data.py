"""Training data: datasets of scikit-learn, and generated rows."""

import random
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine

from app.jobs.params import TrainModelParams
from worker.training.trainer import Training


def without_times(value: Any) -> Any:
    """Return a result as plain data without its durations."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    elif hasattr(value, "__struct_fields__"):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if "seconds" not in name}
    return [without_times(one) for one in value] if isinstance(value, list | tuple) else value


def digits() -> pa.Table:
    return _table(load_digits)


def iris() -> pa.Table:
    return _table(load_iris)


def wine() -> pa.Table:
    return _table(load_wine)


def diabetes() -> pa.Table:
    return _table(load_diabetes)


def customers(count: int = 300, seed: int = 1) -> list[dict[str, Any]]:
    """Return rows with every kind of column and with missing values."""
    chance = random.Random(seed)
    return [_customer(chance, number) for number in range(count)]


@cache
def docstrings(count: int = 2500) -> list[dict[str, str]]:
    """Return docstrings with the name of their library: thousands of real texts on any machine."""
    rows: list[dict[str, str]] = []
    for library in ("sklearn", "numpy", "scipy", "sqlalchemy"):
        found = sorted(_docstrings_of(library))
        rows += ({"text": text, "library": library} for text in found)
    random.Random(0).shuffle(rows)
    return rows[:count]


def params(target: str = "target", **wanted: Any) -> TrainModelParams:
    return TrainModelParams(target=target, **wanted)


def trained(table: pa.Table, path: Path, target: str = "target", **wanted: Any) -> tuple[Training, Any]:
    """Run a training to its end. Returns it with its result."""
    training = Training(table, params(target, **wanted))
    train_until(training)
    return training, training.finish(path)


def train_until(training: Training, until: int = 1000) -> list[Any]:
    """Run steps until the training is finished, or until this one. Returns their records."""
    records = []
    while not training.is_finished and training.steps < until:
        records.append(training.advance().record)
    return records


def _table(load: Callable[[], Any]) -> pa.Table:
    bunch = load()
    columns = {
        str(name): bunch.data[:, index] for index, name in enumerate(bunch.get("feature_names", range(64)))
    }
    return pa.table({**columns, "target": bunch.target})


def _customer(chance: random.Random, number: int) -> dict[str, Any]:
    stays = chance.random() < 0.5
    mood = ["fine", "great", "quick", "ok"] if stays else ["bad", "slow", "ok", "broken"]
    return {
        "id": f"c{number:05}",
        "age": chance.choice([None, chance.randint(18, 90)]),
        "city": chance.choice(["Rome", "Oslo" if stays else "Lima", None, "Bonn"]),
        "member": chance.choice([True, False, None]),
        "since": chance.choice([None, f"20{chance.randint(10, 23)}-03-04"]),
        "note": f"{' '.join(chance.choice(mood) for _ in range(6))} {number}",
        "spent": round(chance.gauss(12 if stays else 8, 5), 3),
        "target": "stays" if stays else "leaves",
    }


def _docstrings_of(library: str) -> set[str]:
    spec = find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    texts = set()
    for path in sorted(Path(spec.origin).parent.glob("*/*.py"))[:120]:
        for text in re.findall(r'"""(.{60,}?)"""', path.read_text(encoding="utf-8"), re.DOTALL):
            texts.add(
                re.sub(r"(?i)sklearn|scikit-learn|numpy|scipy|sqlalchemy|\bnp\.|\bsql\b", "", text)[:300]
            )
    return texts
