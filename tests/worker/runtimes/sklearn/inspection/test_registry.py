"""Every trusted class can be loaded, and predicts like the original."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy import sparse

from tests.worker.runtimes.sklearn.inspection import corpus
from worker.runtimes.sklearn import inspection
from worker.runtimes.sklearn.inspection.registry import TYPES

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", corpus.NAMES)
def test_a_loaded_model_predicts_like_the_original(name: str, tmp_path: Path) -> None:
    model, rows = corpus.fitted(name)
    skops.io.dump(model, tmp_path / "model.skops")

    loaded = inspection.load(tmp_path / "model.skops")

    matrix = rows if isinstance(rows[0], str) else np.asarray(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in ("predict", "predict_proba", "decision_function", "transform"):
            if hasattr(model, method):
                by_hand = _by_hand(getattr(model, method), matrix, name)
                predictions = getattr(loaded, method)(matrix)
                if sparse.issparse(by_hand):
                    predictions, by_hand = predictions.toarray(), by_hand.toarray()
                # The last digit of a sum may depend on the memory layout of an array.
                is_float = np.asarray(by_hand).dtype.kind == "f"
                assert (
                    np.allclose(predictions, by_hand, 1e-12, 1e-12)
                    if is_float
                    else np.array_equal(predictions, by_hand)
                ), method


def _by_hand(method: Any, matrix: Any, name: str) -> Any:
    if name not in corpus.BY_THE_BATCH:
        return method(matrix)
    return np.concatenate([method(matrix[index : index + 1]) for index in range(len(matrix))])


@pytest.mark.parametrize("name", sorted(corpus.BY_THE_BATCH))
def test_the_factors_of_a_row_do_not_depend_on_its_batch(name: str) -> None:
    model, rows = corpus.fitted(name)
    loaded = inspection.loads(skops.io.dumps(model))
    method = loaded.predict_proba if hasattr(loaded, "predict_proba") else loaded.transform

    together = method(np.array([*rows, [900.0, 0.0, 0.0, 0.0]]))
    alone = [method(np.array([row]))[0] for row in rows]

    assert np.allclose(together[:-1], alone, 1e-12, 1e-12)


def test_the_corpus_has_every_trusted_class() -> None:
    held: set[str] = set()
    for name in corpus.NAMES:
        model, _ = corpus.fitted(name)
        held |= _types(inspection.loads(skops.io.dumps(model)))

    assert set(TYPES) - held == set()


def _types(value: Any) -> set[str]:
    waiting, seen, found = [value], set(), set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | int | float | None):
            continue
        seen.add(id(part))
        found |= {f"{kind.__module__}.{kind.__qualname__}" for kind in type(part).__mro__}
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif isinstance(part, np.ndarray):
            waiting += part.ravel().tolist() if part.dtype == object else []
        else:
            waiting += getattr(part, "__dict__", {}).values()
    return found
