"""Checks that the trees of an ONNX model are trees: ONNX Runtime walks round in a circle for ever."""

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from worker.runtimes.runtime import BrokenModel

OPERATORS: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
LEAF: Final = b"LEAF"
MAX_NUMBER: Final = 2**31

Numbers = npt.NDArray[np.int64]
Attributes = dict[str, onnx.AttributeProto]


def ensure_trees(node: onnx.NodeProto) -> None:
    """No node has two parents, and no root has one: so no way leads back. Raises BrokenModel."""
    if node.op_type not in OPERATORS:
        return
    found = {attribute.name: attribute for attribute in node.attribute}
    yes, no = (_ints(found, f"nodes_{side}nodeids") for side in ("true", "false"))
    if len(yes) != len(no):
        raise BrokenModel("its trees have nodes without one of two branches")
    if node.op_type == "TreeEnsemble":
        roots, children = _of_places(found, yes, no)
    else:
        roots, children = _of_numbers(found, yes, no)
    if len(np.unique(children, axis=0)) != len(children):
        raise BrokenModel("its trees have branches that lead back")
    if {*map(tuple, roots.tolist())} & {*map(tuple, children.tolist())}:
        raise BrokenModel("its trees have branches that lead back")


def _of_places(found: Attributes, yes: Numbers, no: Numbers) -> tuple[Numbers, Numbers]:
    """The roots and all children of `TreeEnsemble`, which names nodes by their places."""
    are_leaves = [_ints(found, f"nodes_{side}leafs") for side in ("true", "false")]
    if any(len(each) != len(yes) for each in are_leaves):
        raise BrokenModel("its trees have nodes that are not described in full")
    children = np.concatenate([yes[are_leaves[0] == 0], no[are_leaves[1] == 0]])
    roots = _ints(found, "tree_roots")
    _ensure_places(np.concatenate([roots, children]), len(yes))
    weights = found["leaf_weights"].t.dims if "leaf_weights" in found else ()
    leaves = np.concatenate([yes[are_leaves[0] != 0], no[are_leaves[1] != 0]])
    _ensure_places(leaves, weights[0] if weights else 0)
    return roots[:, None], children[:, None]


def _ensure_places(places: Numbers, count: int) -> None:
    if places.size and (int(places.min()) < 0 or int(places.max()) >= count):
        raise BrokenModel("its trees have branches that lead nowhere")


def _of_numbers(found: Attributes, yes: Numbers, no: Numbers) -> tuple[Numbers, Numbers]:
    """The roots and all children of the older operators, where each tree numbers its nodes."""
    trees, numbers = _ints(found, "nodes_treeids"), _ints(found, "nodes_nodeids")
    modes = found["nodes_modes"].strings if "nodes_modes" in found else []
    if not len(trees) == len(numbers) == len(modes) == len(yes):
        raise BrokenModel("its trees have nodes that are not described in full")
    is_inner = np.array([mode != LEAF for mode in modes], dtype=np.bool_)
    children = np.concatenate([np.column_stack([trees[is_inner], side[is_inner]]) for side in (yes, no)])
    nodes = np.column_stack([trees, numbers])
    # ONNX Runtime keeps 32 bits of a number: a larger one would be another node.
    _ensure_places(nodes.ravel(), MAX_NUMBER)
    if len(np.unique(nodes, axis=0)) != len(nodes):
        raise BrokenModel("its trees have two nodes of the same number")
    if len(np.unique(np.concatenate([nodes, children]), axis=0)) != len(nodes):
        raise BrokenModel("its trees have branches that lead nowhere")
    _, first = np.unique(trees, return_index=True)
    return nodes[first], children


def _ints(found: Attributes, name: str) -> Numbers:
    return np.array(found[name].ints if name in found else [], dtype=np.int64)
