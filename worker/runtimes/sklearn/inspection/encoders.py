"""Checks of encoders of categories and labels.

OneHotEncoder trusts the widths in the file: a wrong one makes a sparse matrix with indices beyond its
shape, and SciPy then reads beyond its memory.
"""

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
    """Return the number of categories of each column. Numbers must be sorted, because of bisection."""
    sizes = []
    for values in part.sequence("categories_", part.columns()):
        known = part.as_array(values, "categories_", (None,), "biufUSO")
        part.ensure(len(known) >= 1, "categories_", "lists of at least one category")
        if known.dtype == object:
            part.plain_values(known.tolist(), "categories_")
        elif known.dtype.kind in "iufb":
            part.ensure(_is_sorted(known), "categories_", "numbers in ascending order")
        sizes.append(len(known))
    _check_infrequent(part, sizes)
    return sizes


def _is_sorted(known: npt.NDArray[Any]) -> bool:
    numbers = known.astype(np.float64) if known.dtype.kind == "b" else known
    if known.dtype.kind == "f" and np.isnan(known[-1]):
        numbers = known[:-1]
    return bool((numbers[1:] > numbers[:-1]).all()) and not (
        known.dtype.kind == "f" and bool(np.isnan(numbers).any())
    )


def _check_infrequent(part: Part, sizes: list[int]) -> None:
    """Check the maps from categories to output columns, of which infrequent categories share the last."""
    if not part.flag("_infrequent_enabled"):
        for name in ("_infrequent_indices", "_default_to_infrequent_mappings"):
            # They may be present, as None for each column, although no category is infrequent.
            if part.has(name):
                part.ensure(all(value is None for value in part.sequence(name)), name, "None for each column")
        # `transform` uses them whether they are enabled or not.
        part.value.__dict__.pop("_infrequent_indices", None)
        part.value.__dict__.pop("_default_to_infrequent_mappings", None)
        return
    mappings = part.sequence("_default_to_infrequent_mappings", len(sizes))
    infrequent = part.sequence("_infrequent_indices", len(sizes))
    for size, mapping, indices in zip(sizes, mappings, infrequent, strict=True):
        if mapping is None and indices is None:
            continue
        indices = part.as_array(indices, "_infrequent_indices", (None,), "iu")
        is_valid = len(indices) >= 1 and int(indices.min()) >= 0 and int(indices.max()) < size
        is_unique = len(set(indices.tolist())) == len(indices)
        part.ensure(is_valid and is_unique, "_infrequent_indices", "indices of its categories")
        mapping = part.as_array(mapping, "_default_to_infrequent_mappings", (size,), "iu")
        is_valid = int(mapping.min()) >= 0 and int(mapping.max()) <= size - len(indices)
        part.ensure(is_valid, "_default_to_infrequent_mappings", "indices of its output columns")


def _check_one_hot(part: Part) -> None:
    sizes = _check_categories(part)
    if part.has("_drop_idx_after_grouping"):
        dropped = part.array("_drop_idx_after_grouping", (len(sizes),), "O").tolist()
        for index, size in zip(dropped, sizes, strict=True):
            is_valid = index is None or (isinstance(index, int | np.integer) and 0 <= index < size)
            part.ensure(
                is_valid and type(index) is not bool, "_drop_idx_after_grouping", "indices of its categories"
            )
    part.choice("handle_unknown", ("error", "ignore", "infrequent_if_exist", "warn"))
    if part.has("feature_name_combiner"):
        part.choice("feature_name_combiner", ("concat",))
    widths = part.sequence("_n_features_outs", len(sizes))
    expected = part.value._compute_n_features_outs()
    are_integers = all(isinstance(width, int | np.integer) and type(width) is not bool for width in widths)
    part.ensure(
        are_integers and [int(width) for width in widths] == expected, "_n_features_outs", f"{expected[:20]}"
    )
    part.ensure(sum(expected) <= MAX_WIDTH, "_n_features_outs", f"at most {MAX_WIDTH} together")


def _check_ordinal(part: Part) -> None:
    sizes = _check_categories(part)
    missing = part.get("_missing_indices") or {}
    part.ensure(type(missing) is dict, "_missing_indices", "a dictionary")
    for column, index in missing.items():
        is_valid = type(column) is int and 0 <= column < len(sizes) and type(index) is int
        part.ensure(is_valid and 0 <= index < sizes[column], "_missing_indices", "indices of its categories")


def _check_target(part: Part) -> None:
    sizes = _check_categories(part)
    kind = part.choice("target_type_", ("continuous", "binary", "multiclass"))
    outputs = part.classes() if kind == "multiclass" else 1
    encodings = part.sequence("encodings_", len(sizes) * outputs)
    for index, values in enumerate(encodings):
        part.as_array(values, "encodings_", (sizes[index // outputs],))
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
        has_columns = encoder.has("categories_") and encoder.columns() == columns
        part.ensure(has_columns, "_encoder", "for the same columns")


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
