"""Checks of histogram gradient boosting, whose compiled code follows the trees without validation."""

from functools import partial
from typing import Any, Final

import numpy as np
from sklearn._loss import loss
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, OrdinalEncoder

from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trees import ensure_children, ensure_columns
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

BITSET_WORDS: Final = 8


def _check_predictor(part: Part) -> None:
    nodes = part.get("nodes")
    if type(nodes) is not np.ndarray or nodes.ndim != 1 or nodes.dtype.names is None:
        part.fail("nodes", "an array of nodes")
    try:
        nodes = np.ascontiguousarray(nodes.astype(PREDICTOR_RECORD_DTYPE, casting="same_kind"))
    except TypeError:
        part.fail("nodes", "an array of nodes")
    part.value.nodes = nodes
    if len(nodes) == 0:
        raise BrokenModel("the model has a tree without nodes")
    is_inner = nodes["is_leaf"] == 0
    parents = np.flatnonzero(is_inner)
    for side in ("left", "right"):
        ensure_children(nodes[side][is_inner].astype(np.int64), parents, len(nodes))
    sets = part.array("raw_left_cat_bitsets", (None, BITSET_WORDS), "u", dtype=np.uint32, contiguous=True)
    part.array("binned_left_cat_bitsets", sets.shape, "u", dtype=np.uint32, contiguous=True)
    used = nodes["bitset_idx"][is_inner & (nodes["is_categorical"] != 0)]
    if used.size and int(used.max()) >= len(sets):
        raise BrokenModel("the model has a tree that uses a set of categories it does not have")


def _check_bins(part: Part) -> None:
    """The thresholds of a categorical column are its categories, which are bits in a set of 256."""
    are_categorical = part.array("is_categorical_", (None,), "u", dtype=np.uint8, contiguous=True)
    thresholds = part.sequence("bin_thresholds_", len(are_categorical))
    for is_categorical, values in zip(are_categorical.tolist(), thresholds, strict=True):
        known = part.as_array(values, "bin_thresholds_", (None,), "f", dtype=np.float64, contiguous=True)
        if is_categorical:
            is_bit = known.size == 0 or (float(known.min()) >= 0 and float(known.max()) < 256)
            part.ensure(is_bit and not np.isnan(known).any(), "bin_thresholds_", "categories from 0 to 255")
    part.array("n_bins_non_missing_", (len(are_categorical),), "u", dtype=np.uint32, contiguous=True)
    part.count("missing_values_bin_idx_", 1, 255)


def _check_classifier(part: Part) -> None:
    classes = part.classes()
    if classes == 2:
        part.object("_loss", (loss.HalfBinomialLoss,))
        _check_boosting(part, 1)
    else:
        multinomial = part.object("_loss", (loss.HalfMultinomialLoss,))
        part.ensure(multinomial.count("n_classes") == classes, "_loss", "for the same number of classes")
        _check_boosting(part, classes)
    if part.has("_label_encoder"):
        part.object("_label_encoder", (LabelEncoder,))


_REGRESSION_LOSSES: Final = (
    *(loss.HalfSquaredError, loss.AbsoluteError, loss.HalfPoissonLoss, loss.HalfGammaLoss, loss.PinballLoss),
)


def _check_regressor(part: Part) -> None:
    part.object("_loss", _REGRESSION_LOSSES)
    _check_boosting(part, 1)


def _check_boosting(part: Part, per_stage: int) -> None:
    columns = part.columns()
    is_consistent = part.count("n_trees_per_iteration_") == per_stage
    part.ensure(is_consistent, "n_trees_per_iteration_", f"{per_stage}, by its number of classes")
    part.array("_baseline_prediction", (1, per_stage), "f", dtype=np.float64)
    bins = part.object("_bin_mapper", (_BinMapper,))
    part.ensure(bins.has("is_categorical_"), "_bin_mapper", "fitted")
    are_categorical = bins.array("is_categorical_", (columns,), "u") != 0
    for name in ("is_categorical_", "_is_categorical_remapped"):
        if part.has(name):
            part.array(name, (columns,), "b")
    if part.has("_preprocessor"):
        _check_preprocessor(part, part.object("_preprocessor", (ColumnTransformer,)), columns)
    stages = part.sequence("_predictors")
    part.ensure(len(stages) >= 1, "_predictors", "at least one stage")
    for stage in stages:
        part.ensure(type(stage) is list and len(stage) == per_stage, "_predictors", f"lists of {per_stage}")
        for tree in stage:
            predictor = part.as_object(tree, "_predictors", (TreePredictor,))
            part.ensure(predictor.has("nodes"), "_predictors", "trees")
            _check_used_columns(predictor.get("nodes"), columns, are_categorical)


def _check_used_columns(nodes: Any, columns: int, are_categorical: Any) -> None:
    inner = nodes[nodes["is_leaf"] == 0]
    ensure_columns(inner["feature_idx"], columns)
    if not are_categorical[inner["feature_idx"][inner["is_categorical"] != 0]].all():
        raise BrokenModel("the model has a tree that uses a numeric column as a category")


def _check_preprocessor(part: Part, preprocessor: Part, columns: int) -> None:
    """It moves categorical columns to the front. The trees rely on an unchanged number of columns."""
    has_columns = preprocessor.has("transformers_") and preprocessor.columns() == columns
    part.ensure(has_columns, "_preprocessor", "for the same columns")
    width = 0
    for name, step, selection in preprocessor.get("transformers_"):
        if name == "remainder":
            is_empty = type(step) is str and step == "drop" and not any(selection)
            part.ensure(is_empty, "_preprocessor", "without a remainder")
            continue
        mask = preprocessor.as_array(np.asarray(selection), "transformers_", (columns,), "b")
        count = int(mask.sum())
        width += count
        if type(step) is OrdinalEncoder:
            is_expected = Part(step).has("categories_") and len(step.categories_) == count
        else:
            is_expected = type(step) is FunctionTransformer and type(step.func) is partial
        part.ensure(is_expected, "_preprocessor", "an encoder of categories and a check of numbers")
    part.ensure(width == columns, "_preprocessor", "for all columns")
    part.ensure(not preprocessor.has("transformer_weights"), "_preprocessor", "without weights")


_FITTED: Final = "n_features_in_ n_trees_per_iteration_ _loss _baseline_prediction _bin_mapper _predictors"
_KEPT: Final = (
    "is_categorical_ _preprocessor _is_categorical_remapped _random_seed _feature_subsample_rng _n_features"
    " do_early_stopping_ _use_validation_data _scorer train_score_ validation_score_"
)

TRUSTED: Final = (
    TrustedType(
        HistGradientBoostingClassifier, f"{_FITTED} classes_", _check_classifier, f"{_KEPT} _label_encoder"
    ),
    TrustedType(HistGradientBoostingRegressor, _FITTED, _check_regressor, _KEPT),
    TrustedType(
        _BinMapper,
        "is_categorical_ bin_thresholds_ n_bins_non_missing_ missing_values_bin_idx_",
        _check_bins,
    ),
    TrustedType(TreePredictor, "nodes binned_left_cat_bitsets raw_left_cat_bitsets", _check_predictor),
)
