"""Outlier detection by an isolation forest: a row is checked once, and then handed to each tree unchecked."""

from typing import Final

from sklearn.ensemble import IsolationForest
from sklearn.tree import ExtraTreeRegressor

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trees import check_tree
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_isolation(part: Part) -> None:
    """Each tree sees columns of its own, or all if it has as many; and has a depth for each of its nodes."""
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
    for member, chosen, depths, lengths in per_tree:
        made = check_tree(member, width, 1)
        places = part.as_array(chosen, "estimators_features_", (width,), "iu")
        is_column = int(places.min()) >= 0 and int(places.max()) < columns
        part.ensure(is_column, "estimators_features_", "places of its columns")
        part.as_array(depths, "_decision_path_lengths", (made.node_count,), "iuf")
        part.as_array(lengths, "_average_path_length_per_tree", (made.node_count,))


TRUSTED: Final = (
    TrustedType(
        IsolationForest,
        "n_features_in_ estimators_ estimators_features_ _max_features _max_samples offset_"
        " _decision_path_lengths _average_path_length_per_tree",
        _check_isolation,
        "max_samples_",
    ),
)
