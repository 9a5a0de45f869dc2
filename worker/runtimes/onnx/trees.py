"""Check that the tree ensembles of an ONNX model have no cycles: ONNX Runtime would follow one forever."""

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from worker.runtimes.runtime import BrokenModel

OPERATORS: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
LEAF: Final = b"LEAF"
MAX_NODE_ID: Final = 2**31

Integers = npt.NDArray[np.int64]
Attributes = dict[str, onnx.AttributeProto]

_CYCLE: Final = "its tree ensemble has a cycle"
_INCOMPLETE: Final = "its tree ensemble has nodes with missing attributes"
_OUT_OF_RANGE: Final = "its tree ensemble has a branch to a node that does not exist"


def check_trees(node: onnx.NodeProto) -> None:
    """Raise BrokenModel unless each node has at most one parent and each root none, which excludes cycles."""
    if node.op_type not in OPERATORS:
        return
    attributes = {attribute.name: attribute for attribute in node.attribute}
    true_ids, false_ids = (_integers(attributes, f"nodes_{side}nodeids") for side in ("true", "false"))
    if len(true_ids) != len(false_ids):
        raise BrokenModel(_INCOMPLETE)
    if node.op_type == "TreeEnsemble":
        roots, children = _by_index(attributes, true_ids, false_ids)
    else:
        roots, children = _by_node_id(attributes, true_ids, false_ids)
    if len(np.unique(children, axis=0)) != len(children):
        raise BrokenModel(_CYCLE)
    if {*map(tuple, roots.tolist())} & {*map(tuple, children.tolist())}:
        raise BrokenModel(_CYCLE)


def _by_index(attributes: Attributes, true_ids: Integers, false_ids: Integers) -> tuple[Integers, Integers]:
    """Return the roots and the children of `TreeEnsemble`, which refers to nodes by index."""
    true_leaves, false_leaves = (_integers(attributes, f"nodes_{side}leafs") for side in ("true", "false"))
    if len(true_leaves) != len(true_ids) or len(false_leaves) != len(true_ids):
        raise BrokenModel(_INCOMPLETE)
    children = np.concatenate([true_ids[true_leaves == 0], false_ids[false_leaves == 0]])
    roots = _integers(attributes, "tree_roots")
    _check_range(np.concatenate([roots, children]), len(true_ids))
    weights = attributes["leaf_weights"].t.dims if "leaf_weights" in attributes else ()
    leaves = np.concatenate([true_ids[true_leaves != 0], false_ids[false_leaves != 0]])
    _check_range(leaves, weights[0] if weights else 0)
    return roots[:, None], children[:, None]


def _by_node_id(attributes: Attributes, true_ids: Integers, false_ids: Integers) -> tuple[Integers, Integers]:
    """Return the roots and the children of the older operators, as pairs of tree id and node id."""
    tree_ids, node_ids = _integers(attributes, "nodes_treeids"), _integers(attributes, "nodes_nodeids")
    modes = attributes["nodes_modes"].strings if "nodes_modes" in attributes else []
    if not len(tree_ids) == len(node_ids) == len(modes) == len(true_ids):
        raise BrokenModel(_INCOMPLETE)
    is_inner = np.array([mode != LEAF for mode in modes], dtype=np.bool_)
    children = np.concatenate(
        [np.column_stack([tree_ids[is_inner], ids[is_inner]]) for ids in (true_ids, false_ids)]
    )
    nodes = np.column_stack([tree_ids, node_ids])
    # ONNX Runtime truncates ids to 32 bits, so a larger id would refer to another node.
    _check_range(nodes.ravel(), MAX_NODE_ID, "its tree ensemble has an id out of range")
    if len(np.unique(nodes, axis=0)) != len(nodes):
        raise BrokenModel("its tree ensemble has two nodes with the same id")
    if len(np.unique(np.concatenate([nodes, children]), axis=0)) != len(nodes):
        raise BrokenModel(_OUT_OF_RANGE)
    _, first = np.unique(tree_ids, return_index=True)
    return nodes[first], children


def _check_range(indices: Integers, count: int, message: str = _OUT_OF_RANGE) -> None:
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= count):
        raise BrokenModel(message)


def _integers(attributes: Attributes, name: str) -> Integers:
    return np.array(attributes[name].ints if name in attributes else [], dtype=np.int64)
