"""Encoders of categories and labels. One-hot encoding counts on the widths in the file: a wrong one makes a
sparse matrix with places beyond its shape, which SciPy reads by."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import (
    KBinsDiscretizer,
    LabelBinarizer,
    LabelEncoder,
    OneHotEncoder,
    OrdinalEncoder,
    TargetEncoder,
)

from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.inspection.part import SEVERAL_OUTPUTS, Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

MAX_WIDTH: Final = 2**31 - 1
SEVERAL_LABELS: Final = "multilabel-indicator"


def _check_categories(part: Part) -> list[int]:
    """How many categories each column has. Numbers are looked up by bisection: they must be in order."""
    sizes = []
    for values in part.sequence("categories_", part.columns()):
        known = part.as_array(values, "categories_", (None,), "biufUSO")
        part.ensure(len(known) >= 1, "categories_", "at least one category of each column")
        if known.dtype == object:
            part.plain_values(known.tolist(), "categories_")
        elif known.dtype.kind in "iufb":
            part.ensure(_is_in_order(known), "categories_", "numbers in ascending order")
        sizes.append(len(known))
    _check_infrequent(part, sizes)
    return sizes


def _is_in_order(known: npt.NDArray[Any]) -> bool:
    numbers = known.astype(np.float64) if known.dtype.kind == "b" else known
    if known.dtype.kind == "f" and np.isnan(known[-1]):
        numbers = known[:-1]
    return bool((numbers[1:] > numbers[:-1]).all()) and not (
        known.dtype.kind == "f" and bool(np.isnan(numbers).any())
    )


def _check_infrequent(part: Part, sizes: list[int]) -> None:
    """Rare categories share the last place: a map from each category to its place."""
    if not part.flag("_infrequent_enabled"):
        for name in ("_infrequent_indices", "_default_to_infrequent_mappings"):
            # Some are there, all None, though none is infrequent.
            if part.has(name):
                part.ensure(all(value is None for value in part.sequence(name)), name, "None for each column")
        # `transform` follows them, enabled or not.
        part.value.__dict__.pop("_infrequent_indices", None)
        part.value.__dict__.pop("_default_to_infrequent_mappings", None)
        return
    mappings = part.sequence("_default_to_infrequent_mappings", len(sizes))
    rare = part.sequence("_infrequent_indices", len(sizes))
    for size, mapping, places in zip(sizes, mappings, rare, strict=True):
        if mapping is None and places is None:
            continue
        places = part.as_array(places, "_infrequent_indices", (None,), "iu")
        is_there = len(places) >= 1 and int(places.min()) >= 0 and int(places.max()) < size
        part.ensure(
            is_there and len(set(places.tolist())) == len(places), "_infrequent_indices", "categories"
        )
        mapping = part.as_array(mapping, "_default_to_infrequent_mappings", (size,), "iu")
        is_place = int(mapping.min()) >= 0 and int(mapping.max()) <= size - len(places)
        part.ensure(is_place, "_default_to_infrequent_mappings", "places of its categories")


def _check_one_hot(part: Part) -> None:
    sizes = _check_categories(part)
    if part.has("_drop_idx_after_grouping"):
        dropped = part.array("_drop_idx_after_grouping", (len(sizes),), "O").tolist()
        for index, size in zip(dropped, sizes, strict=True):
            is_place = index is None or (isinstance(index, int | np.integer) and 0 <= index < size)
            part.ensure(
                is_place and type(index) is not bool, "_drop_idx_after_grouping", "places of categories"
            )
    part.choice("handle_unknown", ("error", "ignore", "infrequent_if_exist", "warn"))
    if part.has("feature_name_combiner"):
        part.choice("feature_name_combiner", ("concat",))
    widths = part.sequence("_n_features_outs", len(sizes))
    counted = part.value._compute_n_features_outs()
    is_same = all(isinstance(width, int | np.integer) and type(width) is not bool for width in widths)
    part.ensure(
        is_same and [int(width) for width in widths] == counted, "_n_features_outs", f"{counted[:20]}"
    )
    part.ensure(sum(counted) <= MAX_WIDTH, "_n_features_outs", "fewer")


def _check_ordinal(part: Part) -> None:
    sizes = _check_categories(part)
    missing = part.get("_missing_indices") or {}
    part.ensure(type(missing) is dict, "_missing_indices", "a dictionary")
    for column, index in missing.items():
        is_place = type(column) is int and 0 <= column < len(sizes) and type(index) is int
        part.ensure(is_place and 0 <= index < sizes[column], "_missing_indices", "places of categories")


def _check_target(part: Part) -> None:
    sizes = _check_categories(part)
    kind = part.choice("target_type_", ("continuous", "binary", "multiclass"))
    outputs = part.classes() if kind == "multiclass" else 1
    encodings = part.sequence("encodings_", len(sizes) * outputs)
    for place, values in enumerate(encodings):
        part.as_array(values, "encodings_", (sizes[place // outputs],))
    if outputs > 1:
        part.array("target_mean_", (outputs,))


def _check_bins(part: Part) -> None:
    columns = part.columns()
    edges = part.array("bin_edges_", (columns,), "O").tolist()
    counts = part.array("n_bins_", (columns,), "iu").tolist()
    for values, count in zip(edges, counts, strict=True):
        part.as_array(values, "bin_edges_", (count + 1,))
    part.choice("encode", ("onehot", "onehot-dense", "ordinal"))
    if part.has("_encoder"):
        encoder = part.object("_encoder", (OneHotEncoder,))
        is_same = encoder.has("categories_") and encoder.columns() == columns
        part.ensure(is_same, "_encoder", "for its columns")


def _check_label_encoder(part: Part) -> None:
    part.classes()


def _check_label_binarizer(part: Part) -> None:
    part.classes()
    for name in ("neg_label", "pos_label"):
        part.count(name, -MAX_WIDTH)
    if part.choice("y_type_", ("binary", "multiclass", SEVERAL_LABELS)) == SEVERAL_LABELS:
        raise BrokenModel(SEVERAL_OUTPUTS)
    part.flag("sparse_input_")


_FITTED: Final = "n_features_in_ categories_ _infrequent_enabled"
_INFREQUENT: Final = "_infrequent_indices _default_to_infrequent_mappings"

TRUSTED: Final = (
    TrustedType(
        OneHotEncoder,
        f"{_FITTED} _n_features_outs",
        _check_one_hot,
        f"{_INFREQUENT} drop_idx_ _drop_idx_after_grouping",
    ),
    TrustedType(OrdinalEncoder, _FITTED, _check_ordinal, f"{_INFREQUENT} _missing_indices"),
    TrustedType(
        TargetEncoder,
        f"{_FITTED} target_type_ encodings_ target_mean_",
        _check_target,
        f"{_INFREQUENT} classes_ _label_encoder",
    ),
    TrustedType(KBinsDiscretizer, "n_features_in_ bin_edges_ n_bins_", _check_bins, "_encoder"),
    TrustedType(LabelEncoder, "classes_", _check_label_encoder),
    TrustedType(LabelBinarizer, "classes_ y_type_ sparse_input_", _check_label_binarizer),
)
