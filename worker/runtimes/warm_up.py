"""Load and run a model of each built-in runtime once, in the fork server.

Libraries work on first use: they import more, look up signatures, count processors, build tables.
Without the warm-up each child repeats it, which is a third of the time to its first prediction. The models
are created here; no user's file is opened.
"""

import pkgutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.jobs.params import ModelReference
from worker import predictions
from worker.children import encoding
from worker.runtimes import RUNTIMES
from worker.runtimes.runtime import Runtime

_NUMBERS: Final = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
_TEXTS: Final = ["a good day", "a bad day", "good", "bad"]
_LABELS: Final = ["yes", "no", "yes", "no"]


def warm_up() -> None:
    """Load and run a model of each built-in runtime. Raises any exception of a broken installation."""
    _predict("vader", None, _TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        for name, content, rows in _files():
            path.write_bytes(content)
            _predict(name, path, rows)


def _files() -> Iterator[tuple[str, bytes, Sequence[Any]]]:
    numbers = _NUMBERS.tolist()
    forest = RandomForestClassifier(2, random_state=0).fit(_NUMBERS, _LABELS)
    yield "sklearn", skops.io.dumps(forest), numbers
    linear = make_pipeline(StandardScaler(), LinearRegression()).fit(_NUMBERS, [0.0, 1.0, 1.0, 2.0])
    yield "sklearn", skops.io.dumps(linear), numbers
    of_texts = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(_TEXTS, _LABELS)
    yield "sklearn", skops.io.dumps(of_texts), _TEXTS
    yield "onnx", _onnx_regressor(), numbers


def _onnx_regressor() -> bytes:
    node = helper.make_node(
        "LinearRegressor", ["X"], ["Y"], domain="ai.onnx.ml", coefficients=[1.0, 1.0], intercepts=[0.0]
    )
    graph = helper.make_graph(
        [node],
        "sum",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    written: bytes = model.SerializeToString()
    return written


def _predict(name: str, path: Path | None, rows: Sequence[Any]) -> None:
    runtime: Runtime = pkgutil.resolve_name(RUNTIMES[name])()
    model = runtime.load(ModelReference(name=name, version=1, runtime=name), path)
    for may_be_structs in (False, True):
        outputs = predictions.predict(model, rows, has_worked=False, may_be_structs=may_be_structs)
        encoding.json_lines(outputs, 0)
