"""Write and load skops files in tests."""

from pathlib import Path
from typing import Any

import skops.io
from sklearn.datasets import load_iris

from app.jobs.params import ModelReference
from worker.runtimes.sklearn.model import SklearnModel
from worker.runtimes.sklearn.runtime import SklearnRuntime

REFERENCE = ModelReference(name="mine", version=1, runtime="sklearn")
RUNTIME = SklearnRuntime()

iris = load_iris(return_X_y=True)
rows_of_iris, kinds_of_iris = iris[0].tolist(), iris[1]


def saved(estimator: Any, path: Path) -> Path:
    skops.io.dump(estimator, path)
    return path


def load(path: Path) -> SklearnModel:
    return RUNTIME.load(REFERENCE, path)
