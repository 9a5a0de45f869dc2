"""Check of isolation forests, which pass rows to their trees without validation."""

from typing import Final

from sklearn.ensemble import IsolationForest
from sklearn.tree import ExtraTreeRegressor

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trees import check_tree
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_isolation(part: Part) -> None:
    """Each tree takes its own selection of columns, and has a path length for each of its nodes."""
    columns = part.columns()
    width = part.count("_max_features", 1, columns)
    part.count("_max_samples")
    part.number("offset_")
    members = part.objects("estimators_", (ExtraTreeRegressor,))
    part.ensure(len(members) >= 1, "estimators_", "at least one tree")
    per_tree = zip(
        members,
        part.sequence("estimators_features_", len(members)),
        part.sequence("_decision_path_lengths", len(members)),
        part.sequence("_average_path_length_per_tree", len(members)),
        strict=True,
    )
    for member, selected, depths, lengths in per_tree:
        tree = check_tree(member, width, 1)
        indices = part.as_array(selected, "estimators_features_", (width,), "iu")
        is_valid = int(indices.min()) >= 0 and int(indices.max()) < columns
        part.ensure(is_valid, "estimators_features_", "indices of its columns")
        part.as_array(depths, "_decision_path_lengths", (tree.node_count,), "iuf")
        part.as_array(lengths, "_average_path_length_per_tree", (tree.node_count,))


TRUSTED: Final = (
    TrustedType(
        IsolationForest,
        "n_features_in_ estimators_ estimators_features_ _max_features _max_samples offset_"
        " _decision_path_lengths _average_path_length_per_tree",
        _check_isolation,
        "max_samples_",
    ),
)
