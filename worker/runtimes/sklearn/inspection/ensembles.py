"""Checks of ensembles whose members validate their rows themselves."""

from typing import Any, Final

from sklearn import ensemble
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # enables the two imports below
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import LabelBinarizer, LabelEncoder

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

METHODS: Final = ("predict_proba", "decision_function", "predict")


def _members(part: Part, length: int | None = None) -> list[Any]:
    members = part.sequence("estimators_", length)
    part.ensure(len(members) >= 1, "estimators_", "a list of at least one")
    for member in members:
        part.ensure(isinstance(member, BaseEstimator), "estimators_", "a list of estimators")
    return members


def _check_bagging(part: Part) -> None:
    """Each member takes its own selection of columns."""
    columns, members = part.columns(), _members(part)
    for selected, member in zip(part.sequence("estimators_features_", len(members)), members, strict=True):
        indices = part.as_array(selected, "estimators_features_", (None,), "iu")
        is_valid = len(indices) >= 1 and int(indices.min()) >= 0 and int(indices.max()) < columns
        part.ensure(is_valid, "estimators_features_", "indices of its columns")
        width = vars(member).get("n_features_in_")
        part.ensure(width in (None, len(indices)), "estimators_features_", "as many as its members take")
    _check_class_count(part)


def _check_boosting(part: Part) -> None:
    part.columns()
    members = _members(part)
    part.ensure(
        len(part.array("estimator_weights_", (None,))) >= len(members),
        "estimator_weights_",
        "one for each estimator",
    )
    _check_class_count(part)


def _check_class_count(part: Part) -> None:
    if part.has("classes_"):
        part.ensure(part.count("n_classes_") == part.classes(), "n_classes_", "the number of its classes")


def _check_voting(part: Part) -> None:
    _members(part)
    if part.has("weights"):
        part.ensure(
            len(part.get("weights")) == len(part.get("estimators")), "weights", "one for each estimator"
        )
    if part.has("le_"):
        part.object("le_", (LabelEncoder,))


def _check_stacking(part: Part) -> None:
    members = _members(part)
    part.ensure(isinstance(part.get("final_estimator_"), BaseEstimator), "final_estimator_", "an estimator")
    for method in part.sequence("stack_method_", len(members)):
        part.ensure(type(method) is str and method in METHODS, "stack_method_", "names of prediction methods")
    if part.has("_label_encoder"):
        part.object("_label_encoder", (LabelEncoder,))


def _check_one_to_rest(part: Part) -> None:
    classes = part.object("label_binarizer_", (LabelBinarizer,)).classes()
    _members(part, 1 if classes == 2 else classes)


def _check_one_to_one(part: Part) -> None:
    classes = part.classes()
    _members(part, classes * (classes - 1) // 2)
    part.ensure(not part.has("pairwise_indices_"), "pairwise_indices_", "None")


def _check_outputs(part: Part) -> None:
    _members(part)


def _check_search(part: Part) -> None:
    part.ensure(isinstance(part.get("best_estimator_"), BaseEstimator), "best_estimator_", "an estimator")
    # It may have been a function. That a best estimator exists implies a refit.
    part.value.refit = True


def _check_consensus(part: Part) -> None:
    part.ensure(isinstance(part.get("estimator_"), BaseEstimator), "estimator_", "an estimator")


_BAGGING: Final = "n_features_in_ estimators_ estimators_features_"
_BAGGING_KEPT: Final = "estimator_ estimator_params _max_features _max_samples _n_samples _seeds"
_BOOSTING: Final = "n_features_in_ estimators_ estimator_weights_"
_BOOSTING_KEPT: Final = "estimator_ estimator_params estimator_errors_"
_SEARCH: Final = "scoring cv refit error_score"
_HALVING: Final = "factor resource min_resources max_resources aggressive_elimination"

TRUSTED: Final = (
    TrustedType(ensemble.BaggingClassifier, f"{_BAGGING} classes_ n_classes_", _check_bagging, _BAGGING_KEPT),
    TrustedType(ensemble.BaggingRegressor, _BAGGING, _check_bagging, _BAGGING_KEPT),
    TrustedType(
        ensemble.AdaBoostClassifier, f"{_BOOSTING} classes_ n_classes_", _check_boosting, _BOOSTING_KEPT
    ),
    TrustedType(ensemble.AdaBoostRegressor, _BOOSTING, _check_boosting, _BOOSTING_KEPT),
    TrustedType(ensemble.VotingClassifier, "estimators_ classes_ le_", _check_voting),
    TrustedType(ensemble.VotingRegressor, "estimators_", _check_voting),
    TrustedType(
        ensemble.StackingClassifier,
        "estimators_ final_estimator_ stack_method_ classes_ _label_encoder",
        _check_stacking,
    ),
    TrustedType(ensemble.StackingRegressor, "estimators_ final_estimator_ stack_method_", _check_stacking),
    TrustedType(OneVsRestClassifier, "estimators_ label_binarizer_", _check_one_to_rest, "classes_"),
    TrustedType(OneVsOneClassifier, "estimators_ classes_", _check_one_to_one, "pairwise_indices_"),
    TrustedType(GridSearchCV, "best_estimator_", _check_search, "multimetric_", f"{_SEARCH} param_grid"),
    TrustedType(
        RandomizedSearchCV, "best_estimator_", _check_search, "multimetric_", f"{_SEARCH} param_distributions"
    ),
    TrustedType(
        HalvingGridSearchCV,
        "best_estimator_",
        _check_search,
        "multimetric_",
        f"{_SEARCH} {_HALVING} param_grid",
    ),
    TrustedType(
        HalvingRandomSearchCV,
        "best_estimator_",
        _check_search,
        "multimetric_",
        f"{_SEARCH} {_HALVING} param_distributions n_candidates",
    ),
    TrustedType(MultiOutputRegressor, "estimators_", _check_outputs),
    TrustedType(RANSACRegressor, "estimator_", _check_consensus),
)
