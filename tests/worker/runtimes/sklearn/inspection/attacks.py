"""Tamper with models, and get the reason for which they are refused."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from app.jobs.params import ModelReference
from tests.worker.runtimes.sklearn.inspection import corpus
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn.runtime import SklearnRuntime


def copied(name: str) -> Any:
    """Return a copy of a model of the corpus, to be tampered with."""
    model, _ = corpus.fitted(name)
    return copy.deepcopy(model)


def masked(value: Any) -> Any:
    """Return a masked count: every comparison with it is `masked`, which is false."""
    return np.ma.MaskedArray(np.array(value), mask=True)


REFERENCE = ModelReference(name="m", version=1, runtime="sklearn")


def refusal(model: Any, path: Path) -> str:
    """Return why a model is refused. Raises AssertionError if it is accepted."""
    skops.io.dump(model, path)
    with pytest.raises((BrokenModel, UnsafeModel)) as error:
        # Without the example rows of an upload: the checks must suffice, because every child relies on them.
        SklearnRuntime().load(REFERENCE, path)
    return str(error.value.message)
