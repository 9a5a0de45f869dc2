"""Tree ensembles that would make ONNX Runtime loop forever."""

from pathlib import Path
from typing import Any

import pytest
from onnx import helper, load_from_string
from sklearn.tree import DecisionTreeRegressor

from tests.models import files
from worker.runtimes.onnx.runtime import OnnxRuntime
from worker.runtimes.runtime import BrokenModel


def changed(name: str, index: int, value: int) -> bytes:
    """A tree of seven nodes with one value of an attribute changed."""
    tree = DecisionTreeRegressor(max_depth=2).fit(files.FLOWERS, files.KINDS)
    model = load_from_string(files.as_onnx(tree))
    (node,) = (node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    (attribute,) = (attribute for attribute in node.attribute if attribute.name == name)
    attribute.ints[index] = value
    written: bytes = model.SerializeToString()
    return written


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("nodes_truenodeids", 0, 0, "has a cycle"),
        ("nodes_falsenodeids", 0, 0, "has a cycle"),
        ("nodes_truenodeids", 0, 2, "has a cycle"),
        ("nodes_nodeids", 1, 0, "two nodes with the same id"),
        ("nodes_truenodeids", 0, 7, "does not exist"),
        ("nodes_falsenodeids", 0, -1, "does not exist"),
        ("nodes_truenodeids", 2, -(2**62), "does not exist"),  # in 32 bits it is 0, the root
        ("nodes_nodeids", 4, 2**32 + 4, "id out of range"),
        ("nodes_treeids", 0, -1, "id out of range"),
    ],
)
def test_a_tree_with_invalid_branches_is_refused(
    name: str, index: int, value: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BrokenModel, match=message):
        OnnxRuntime().inspect(files.written(tmp_path, changed(name, index, value)))


def ensemble(**attributes: Any) -> bytes:
    """Two nodes and three leaves in the operator TreeEnsemble."""
    described = {
        "tree_roots": [0],
        "nodes_featureids": [0, 1],
        "nodes_splits": helper.make_tensor("splits", 1, [2], [0.5, 0.5]),
        "nodes_modes": helper.make_tensor("modes", 2, [2], [0, 0]),
        "nodes_truenodeids": [1, 0],
        "nodes_trueleafs": [0, 1],
        "nodes_falsenodeids": [2, 1],
        "nodes_falseleafs": [1, 1],
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": helper.make_tensor("weights", 1, [3], [1.0, 2.0, 3.0]),
        "n_targets": 1,
        **attributes,
    }
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **described)
    graph = helper.make_graph([node], "g", [files.floats("x", "n", 4)], [files.floats("y", "n", 1)])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    written: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return written


def test_a_valid_tree_ensemble_is_accepted(tmp_path: Path) -> None:
    assert OnnxRuntime().inspect(files.written(tmp_path, ensemble())).task is not None


@pytest.mark.parametrize(
    "attributes",
    [
        {"nodes_truenodeids": [0, 0]},
        {"nodes_trueleafs": [0, 0], "nodes_truenodeids": [1, 1]},
        {"nodes_trueleafs": [0]},
        {"nodes_truenodeids": [2, 0]},
        {"nodes_truenodeids": [-1, 0]},
        {"nodes_truenodeids": [1, 2**40]},
        {"nodes_falsenodeids": [3, 1]},
        {"tree_roots": [5]},
    ],
)
def test_a_tree_ensemble_with_invalid_branches_is_refused(attributes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match=r"has a cycle|does not exist|missing attributes"):
        OnnxRuntime().inspect(files.written(tmp_path, ensemble(**attributes)))
