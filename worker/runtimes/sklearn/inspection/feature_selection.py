"""Checks of feature selectors: a mask or a score for each column. What only training needs is not loaded."""

from typing import Final

import numpy as np
from sklearn import feature_selection as selection
from sklearn.base import BaseEstimator

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_model(part: Part) -> None:
    part.ensure(isinstance(part.get("estimator_"), BaseEstimator), "estimator_", "an estimator")
    part.choice("importance_getter", ("auto", "coef_", "feature_importances_"))


def _check_variances(part: Part) -> None:
    part.array("variances_", (part.columns(),))
    part.number("threshold")


def _check_scores(part: Part) -> None:
    columns = part.columns()
    part.array("scores_", (columns,))
    if part.has("pvalues_"):
        part.array("pvalues_", (columns,))
    if part.get("k") not in (None, "all"):
        part.count("k", 0)
    for name in ("percentile", "alpha", "param"):
        if part.has(name) and part.get(name) != "all":
            part.number(name)
    if part.has("mode"):
        part.choice("mode", ("percentile", "k_best", "fpr", "fdr", "fwe"))


def _check_mask(part: Part) -> None:
    """Recursive elimination may also predict, with its own estimator."""
    part.array("support_", (part.columns(),), "b", dtype=np.bool_)
    if part.has("estimator_"):
        part.ensure(isinstance(part.get("estimator_"), BaseEstimator), "estimator_", "an estimator")


_SCORED: Final = ("n_features_in_ scores_", _check_scores, "pvalues_", "score_func")

TRUSTED: Final = (
    TrustedType(selection.SelectFromModel, "estimator_", _check_model, "threshold_ max_features_"),
    TrustedType(selection.VarianceThreshold, "n_features_in_ variances_", _check_variances),
    TrustedType(selection.SelectKBest, *_SCORED),
    TrustedType(selection.SelectPercentile, *_SCORED),
    TrustedType(selection.SelectFpr, *_SCORED),
    TrustedType(selection.SelectFdr, *_SCORED),
    TrustedType(selection.SelectFwe, *_SCORED),
    TrustedType(selection.GenericUnivariateSelect, *_SCORED),
    TrustedType(selection.RFE, "n_features_in_ support_", _check_mask, "estimator_", "importance_getter"),
    TrustedType(
        selection.RFECV, "n_features_in_ support_", _check_mask, "estimator_", "importance_getter cv scoring"
    ),
    TrustedType(
        selection.SequentialFeatureSelector,
        "n_features_in_ support_",
        _check_mask,
        "",
        "scoring cv",
    ),
)
