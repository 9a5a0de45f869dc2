"""Valid ONNX models with many operators: converted from scikit-learn or built by hand."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx

from tests.worker.runtimes.sklearn.inspection import corpus

CONVERTED = (
    *("logistic", "svc", "svc with probabilities", "tree", "forest", "boosting", "bagging", "ada boost"),
    *("network", "neighbours", "gaussian", "scaler", "min max", "polynomial", "pca", "normalizer", "imputer"),
    *("linear", "svr", "tree regressor", "forest regressor", "boosting regressor", "neighbours regressor"),
    *("network regressor", "ordinal"),
)


def _floats(name: str, *dims: int | str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def _constant(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def _graph(nodes: list[Any], constants: list[Any], given: Any, made: Any) -> bytes:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "graph", [given], [made], constants)
    written: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return written


_random = np.random.default_rng(3)


def _weights(*shape: int) -> Any:
    return _random.normal(size=shape).astype(np.float32)


def _images() -> bytes:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["y"]),
    ]
    constants = [
        _constant("w", _weights(2, 1, 3, 3)),
        *(_constant(name, np.ones(2, np.float32)) for name in "bsmv"),
        _constant("g", _weights(8, 3)),
    ]
    return _graph(nodes, constants, _floats("x", "n", 1, 4, 4), _floats("y", "n", 3))


def _picks() -> bytes:
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["g"], axis=1),
        helper.make_node("GatherElements", ["x", "e"], ["h"], axis=0),
        helper.make_node("Slice", ["g", "starts", "ends", "axes", "steps"], ["s"]),
        helper.make_node("Pad", ["s", "pads"], ["p"]),
        helper.make_node("TopK", ["p", "k"], ["t", "u"]),
        helper.make_node("ReduceMean", ["t"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["m", "g"], ["c"], axis=1),
        helper.make_node("Transpose", ["c"], ["r"], perm=[1, 0]),
        helper.make_node("Transpose", ["r"], ["q"], perm=[1, 0]),
        helper.make_node("ArgMax", ["q"], ["a"], axis=1, keepdims=1),
        helper.make_node("Cast", ["a"], ["d"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["d", "shape"], ["e1"]),
        helper.make_node("Add", ["e1", "m"], ["y"]),
    ]
    constants = [
        _constant("i", np.array([0, 2, 3])),
        _constant("e", np.zeros((1, 4), np.int64)),
        _constant("starts", np.array([0])),
        _constant("ends", np.array([3])),
        _constant("axes", np.array([1])),
        _constant("steps", np.array([1])),
        _constant("pads", np.array([0, 1, 0, 1])),
        _constant("k", np.array([2])),
        _constant("shape", np.array([-1, 1])),
    ]
    return _graph(nodes[:1] + nodes[2:], constants, _floats("x", "n", 4), _floats("y", "n", 1))


def _sequence() -> bytes:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r", "b"], ["", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h", "zero"], ["q"]),
        helper.make_node("Softmax", ["q"], ["y"]),
    ]
    constants = [
        _constant("w", _weights(1, 12, 2)),
        _constant("r", _weights(1, 12, 3)),
        _constant("b", _weights(1, 24)),
        _constant("zero", np.array([0])),
    ]
    return _graph(nodes, constants, _floats("x", "n", 5, 2), _floats("y", "n", 3))


def _scatters() -> bytes:
    nodes = [
        helper.make_node("Einsum", ["x", "w"], ["e"], equation="ij,jk->ik"),
        helper.make_node("Clip", ["e", "low", "high"], ["c"]),
        helper.make_node("ScatterElements", ["c", "places", "values"], ["s"], axis=1),
        helper.make_node("GatherND", ["s", "pair"], ["n"]),
        helper.make_node("Expand", ["n", "shape"], ["z"]),
        helper.make_node("Add", ["s", "z"], ["y"]),
    ]
    constants = [
        _constant("w", _weights(4, 3)),
        _constant("low", np.array(-1, np.float32)),
        _constant("high", np.array(1, np.float32)),
        _constant("places", np.array([[0, 2]])),
        _constant("values", np.array([[0.5, 0.25]], np.float32)),
        _constant("pair", np.array([0, 1])),
        _constant("shape", np.array([1, 3])),
    ]
    return _graph(nodes, constants, _floats("x", "n", 4), _floats("y", "n", 3))


def _branches() -> bytes:
    def branch(name: str, operator: str) -> Any:
        return helper.make_graph(
            [helper.make_node(operator, ["x", "w"], [name])], name, [], [_floats(name, "n", 4)]
        )

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "zero"], ["is"]),
        helper.make_node("If", ["is"], ["y"], then_branch=branch("a", "Add"), else_branch=branch("b", "Mul")),
    ]
    constants = [_constant("w", _weights(4)), _constant("zero", np.array(0, np.float32))]
    return _graph(nodes, constants, _floats("x", "n", 4), _floats("y", "n", 4))


def _quantized() -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "z2"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    constants = [
        _constant("s", np.array(0.1, np.float32)),
        _constant("z", np.array(128, np.uint8)),
        _constant("z2", np.array(0, np.int8)),
        _constant("w", np.arange(12, dtype=np.int8).reshape(4, 3)),
    ]
    return _graph(nodes, constants, _floats("x", "n", 4), _floats("y", "n", 3))


NUMBERS = corpus.ROWS[::7].tolist()
IMAGES = _random.normal(size=(4, 1, 4, 4)).tolist()
SEQUENCES = _random.normal(size=(4, 5, 2)).tolist()

BY_HAND: dict[str, tuple[Callable[[], bytes], list[Any]]] = {
    "images": (_images, IMAGES),
    "picks": (_picks, NUMBERS),
    "sequence": (_sequence, SEQUENCES),
    "scatters": (_scatters, NUMBERS),
    "branches": (_branches, NUMBERS),
    "quantized": (_quantized, NUMBERS),
}

NAMES = [*CONVERTED, *BY_HAND]


@functools.cache
def model(name: str) -> tuple[bytes, list[Any]]:
    """Return a model file and input rows for it."""
    if name in BY_HAND:
        make, rows = BY_HAND[name]
        return make(), rows
    fitted, rows = corpus.fitted(name)
    options = {"zipmap": False} if hasattr(fitted, "classes_") else None
    converted = to_onnx(fitted, np.asarray(rows, np.float32)[:1], options=options)
    written: bytes = converted.SerializeToString()
    return written, rows
