"""Checks of decision trees. Compiled code follows child and column indices without bounds checks."""

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


def build_tree(args: Any, state: Any) -> Tree:
    """Validate and build a tree. `Tree` itself reads as many values as its counts say. Raises BrokenModel."""
    if type(args) is not tuple or len(args) != 3 or type(state) is not dict:
        raise BrokenModel("the model has an incomplete tree")
    columns, classes, outputs = args
    nodes: Any = state.get("nodes")
    values: Any = state.get("values")
    count = state.get("node_count")
    if not (_is_count(columns) and _is_count(outputs) and _is_count(count)):
        raise BrokenModel("the model has a tree with invalid counts")
    if not (_is_array(classes, "iu", 1) and len(classes) == outputs and int(classes.min()) >= 1):
        raise BrokenModel("the model has a tree with invalid numbers of classes")
    if not (type(nodes) is np.ndarray and nodes.ndim == 1 and len(nodes) == count):
        raise BrokenModel("the model has a tree whose number of nodes is not its node_count")
    widest = int(classes.max())
    if not (_is_array(values, "f", 3) and values.shape == (count, outputs, widest)):
        raise BrokenModel("the model has a tree whose values do not match its nodes")
    if nodes.dtype.names is None or not {"left_child", "right_child", "feature"} <= set(nodes.dtype.names):
        raise BrokenModel("the model has a tree with invalid nodes")
    depth = state.get("max_depth")
    if type(depth) is not int or not 0 <= depth <= MAX_COUNT:
        raise BrokenModel("the model has a tree with an invalid depth")
    is_inner = nodes["left_child"] != LEAF
    parents = np.flatnonzero(is_inner)
    for side in ("left_child", "right_child"):
        ensure_children(nodes[side][is_inner], parents, count)
    ensure_columns(nodes["feature"][is_inner], columns)
    tree = Tree(columns, classes.astype(np.intp), outputs)
    tree.__setstate__(
        {
            "max_depth": depth,
            "node_count": count,
            "nodes": np.ascontiguousarray(nodes),
            "values": values.astype(float),
        }
    )
    return tree


def ensure_children(children: npt.NDArray[Any], parents: npt.NDArray[Any], count: int) -> None:
    """Raise BrokenModel unless children have higher indices than their parents, which excludes cycles.

    scikit-learn grows all its trees in this order.
    """
    if children.size and (bool((children <= parents).any()) or int(children.max()) >= count):
        raise BrokenModel("the model has a tree with a branch to an invalid node")


def ensure_columns(features: npt.NDArray[Any], columns: int) -> None:
    """Raise BrokenModel if a tree uses a column that rows do not have."""
    if features.size and (int(features.min()) < 0 or int(features.max()) >= columns):
        raise BrokenModel("the model has a tree that uses a column it does not have")


def check_tree(part: Part, columns: int | None = None, outputs: int | None = None) -> Tree:
    """Check and return a fitted tree. `columns` and `outputs` are those of its ensemble, if it has one."""
    width = part.columns()
    tree = part.get("tree_")
    if type(tree) is not Tree:
        part.fail("tree_", "a tree")
    if width != tree.n_features or columns not in (None, width):
        raise BrokenModel("the model has a tree for another number of columns")
    is_consistent = part.count("n_outputs_") == tree.n_outputs
    part.ensure(is_consistent, "n_outputs_", f"{tree.n_outputs}, as in its tree")
    part.ensure(outputs in (None, tree.n_outputs), "n_outputs_", f"{outputs}, as in its ensemble")
    return tree


def check_classifier(part: Part, columns: int | None = None, classes: int | None = None) -> None:
    """Check a tree classifier: its tree must have one value per class in each leaf."""
    tree = check_tree(part, columns)
    if tree.n_outputs > 1:
        raise BrokenModel(SEVERAL_OUTPUTS)
    size = int(tree.n_classes[0])
    is_consistent = part.classes() == part.count("n_classes_") == size and classes in (None, size)
    part.ensure(is_consistent, "n_classes_", "the number of its classes")


def _check_regressor(part: Part) -> None:
    tree = check_tree(part)
    part.ensure(tree.max_n_classes == 1, "tree_", "a tree with one value in each leaf")


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
