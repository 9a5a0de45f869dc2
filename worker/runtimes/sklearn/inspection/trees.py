"""Decision trees. Compiled code walks from node to node and from there into the row, without a limit."""

from typing import Any, Final, TypeGuard

import numpy as np
import numpy.typing as npt
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.tree._tree import Tree

from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.inspection.part import MAX_COUNT, SEVERAL_OUTPUTS, Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

LEAF: Final = -1


def tree(args: Any, state: Any) -> Tree:
    """A tree, checked before it is made: `Tree` reads as many values as it is told. Raises BrokenModel."""
    if type(args) is not tuple or len(args) != 3 or type(state) is not dict:
        raise BrokenModel("the model has a tree without its parts")
    columns, classes, outputs = args
    nodes: Any = state.get("nodes")
    values: Any = state.get("values")
    count = state.get("node_count")
    if not (_is_count(columns) and _is_count(outputs) and _is_count(count)):
        raise BrokenModel("the model has a tree whose counts make no sense")
    if not (_is_array(classes, "iu", 1) and len(classes) == outputs and int(classes.min()) >= 1):
        raise BrokenModel("the model has a tree without its numbers of classes")
    if not (type(nodes) is np.ndarray and nodes.ndim == 1 and len(nodes) == count):
        raise BrokenModel("the model has a tree of another number of nodes than it claims")
    widest = int(classes.max())
    if not (_is_array(values, "f", 3) and values.shape == (count, outputs, widest)):
        raise BrokenModel("the model has a tree whose values are of another shape than its nodes")
    if nodes.dtype.names is None or not {"left_child", "right_child", "feature"} <= set(nodes.dtype.names):
        raise BrokenModel("the model has a tree whose nodes are none")
    depth = state.get("max_depth")
    if type(depth) is not int or not 0 <= depth <= MAX_COUNT:
        raise BrokenModel("the model has a tree whose depth makes no sense")
    is_inner = nodes["left_child"] != LEAF
    parents = np.flatnonzero(is_inner)
    for side in ("left_child", "right_child"):
        ensure_children(nodes[side][is_inner], parents, count)
    ensure_columns(nodes["feature"][is_inner], columns)
    made = Tree(columns, classes.astype(np.intp), outputs)
    made.__setstate__(
        {
            "max_depth": depth,
            "node_count": count,
            "nodes": np.ascontiguousarray(nodes),
            "values": values.astype(float),
        }
    )
    return made


def ensure_children(children: npt.NDArray[Any], parents: npt.NDArray[Any], count: int) -> None:
    """Children come after their parents in all trees that were grown, so no path leads round in a circle."""
    if children.size and (bool((children <= parents).any()) or int(children.max()) >= count):
        raise BrokenModel("the model has a tree whose branches lead nowhere")


def ensure_columns(features: npt.NDArray[Any], columns: int) -> None:
    """A tree asks only for columns that a row has."""
    if features.size and (int(features.min()) < 0 or int(features.max()) >= columns):
        raise BrokenModel("the model has a tree that asks for a column it does not have")


def check_tree(part: Part, columns: int | None = None, outputs: int | None = None) -> Tree:
    """A fitted tree: it is for as many columns as its estimator lets through. Of an ensemble: as all are."""
    own = part.columns()
    made = part.get("tree_")
    if type(made) is not Tree:
        part.fail("tree_", "a tree")
    if own != made.n_features or columns not in (None, own):
        raise BrokenModel("the model has a tree for another number of columns")
    part.ensure(part.count("n_outputs_") == made.n_outputs, "n_outputs_", f"{made.n_outputs}, as of its tree")
    part.ensure(outputs in (None, made.n_outputs), "n_outputs_", f"{outputs}, as of all trees")
    return made


def check_classifier(part: Part, columns: int | None = None, classes: int | None = None) -> None:
    """A classifier has as many classes as its tree has values in a leaf."""
    made = check_tree(part, columns)
    if made.n_outputs > 1:
        raise BrokenModel(SEVERAL_OUTPUTS)
    size = int(made.n_classes[0])
    is_same = part.classes() == part.count("n_classes_") == size and classes in (None, size)
    part.ensure(is_same, "n_classes_", "the number of its classes")


def _check_regressor(part: Part) -> None:
    made = check_tree(part)
    part.ensure(made.max_n_classes == 1, "tree_", "a tree with one value in each leaf")


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_COUNT


def _is_array(value: Any, kinds: str, dimensions: int) -> TypeGuard[npt.NDArray[Any]]:
    return type(value) is np.ndarray and value.dtype.kind in kinds and value.ndim == dimensions


_FITTED: Final = "tree_ n_features_in_ n_outputs_"

TRUSTED: Final = (
    TrustedType(DecisionTreeClassifier, f"{_FITTED} classes_ n_classes_", check_classifier, "max_features_"),
    TrustedType(ExtraTreeClassifier, f"{_FITTED} classes_ n_classes_", check_classifier, "max_features_"),
    TrustedType(DecisionTreeRegressor, _FITTED, _check_regressor, "max_features_ class_weight"),
    TrustedType(ExtraTreeRegressor, _FITTED, _check_regressor, "max_features_ class_weight"),
)
