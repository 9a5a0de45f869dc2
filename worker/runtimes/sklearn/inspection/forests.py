"""Checks of forests and classic gradient boosting, which pass rows to their trees without validation."""

from typing import Final

import numpy as np
from sklearn._loss import loss
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.inspection.part import SEVERAL_OUTPUTS, Part
from worker.runtimes.sklearn.inspection.trees import check_classifier, check_tree
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_CLASSIFIERS: Final = (DecisionTreeClassifier, ExtraTreeClassifier)
_REGRESSORS: Final = (DecisionTreeRegressor, ExtraTreeRegressor)


def _check_classifier(part: Part) -> None:
    columns, outputs = part.columns(), part.count("n_outputs_")
    if outputs > 1:
        raise BrokenModel(SEVERAL_OUTPUTS)
    classes = part.classes()
    part.ensure(part.count("n_classes_") == classes, "n_classes_", "the number of its classes")
    for member in _members(part, _CLASSIFIERS):
        check_classifier(member, columns, classes)


def _check_regressor(part: Part) -> None:
    columns, outputs = part.columns(), part.count("n_outputs_")
    for member in _members(part, _REGRESSORS):
        check_tree(member, columns, outputs)


def _members(part: Part, types: tuple[type, ...]) -> list[Part]:
    members = part.objects("estimators_", types)
    part.ensure(len(members) >= 1, "estimators_", "at least one tree")
    return members


def _check_boosted_classifier(part: Part) -> None:
    classes = part.classes()
    part.ensure(part.count("n_classes_") == classes >= 2, "n_classes_", "the number of its classes")
    part.ensure(part.has("_loss"), "_loss", "present")
    if classes == 2:
        part.object("_loss", (loss.HalfBinomialLoss, loss.ExponentialLoss))
    else:
        multinomial = part.object("_loss", (loss.HalfMultinomialLoss,))
        part.ensure(multinomial.count("n_classes") == classes, "_loss", "for the same number of classes")
    if part.get("init_") != "zero":
        first = part.object("init_", (DummyClassifier,))
        part.ensure(first.has("n_classes_"), "init_", "fitted")
        part.ensure(first.count("n_classes_") == classes, "init_", "for the same number of classes")
    _check_stages(part, 1 if classes == 2 else classes)


def _check_boosted_regressor(part: Part) -> None:
    part.object("_loss", (loss.HalfSquaredError, loss.AbsoluteError, loss.HuberLoss, loss.PinballLoss))
    if part.get("init_") != "zero":
        part.ensure(part.object("init_", (DummyRegressor,)).has("constant_"), "init_", "fitted")
    _check_stages(part, 1)


def _check_stages(part: Part, per_stage: int) -> None:
    """Compiled code writes one column per tree of a stage, into a matrix sized by the number of classes."""
    columns = part.columns()
    is_consistent = part.count("n_trees_per_iteration_") == per_stage
    part.ensure(is_consistent, "n_trees_per_iteration_", f"{per_stage}, by its number of classes")
    stages = part.array("estimators_", (None, per_stage), "O")
    part.ensure(len(stages) >= 1, "estimators_", "at least one stage")
    if part.has("n_estimators_"):
        part.ensure(part.count("n_estimators_") == len(stages), "n_estimators_", "the number of its stages")
    part.number("learning_rate")
    for estimator in stages.ravel().tolist():
        tree = check_tree(part.as_object(estimator, "estimators_", (DecisionTreeRegressor,)), columns, 1)
        part.ensure(tree.max_n_classes == 1, "estimators_", "trees with one value in each leaf")


def _check_dummy_classifier(part: Part) -> None:
    if type(part.get("n_classes_")) is list:
        raise BrokenModel(SEVERAL_OUTPUTS)
    classes = part.classes()
    part.ensure(part.count("n_classes_") == classes, "n_classes_", "the number of its classes")
    part.array("class_prior_", (classes,))
    part.count("n_outputs_", 1, 1)
    part.choice("_strategy", ("most_frequent", "prior", "stratified", "uniform", "constant"))
    part.ensure(part.flag("sparse_output_") is False, "sparse_output_", "false")


def _check_dummy_regressor(part: Part) -> None:
    outputs = part.count("n_outputs_")
    part.ensure(np.isfinite(part.array("constant_", (1, outputs), "fiu")).all(), "constant_", "finite")


_FOREST: Final = "n_features_in_ n_outputs_ estimators_"
_FOREST_KEPT: Final = (
    "estimator estimator_ estimator_params class_weight _n_samples _n_samples_bootstrap _sample_weight"
)
_BOOSTING: Final = "n_features_in_ n_trees_per_iteration_ _loss init_ estimators_"
_BOOSTING_KEPT: Final = "n_estimators_ max_features_"

TRUSTED: Final = (
    TrustedType(RandomForestClassifier, f"{_FOREST} classes_ n_classes_", _check_classifier, _FOREST_KEPT),
    TrustedType(ExtraTreesClassifier, f"{_FOREST} classes_ n_classes_", _check_classifier, _FOREST_KEPT),
    TrustedType(RandomForestRegressor, _FOREST, _check_regressor, _FOREST_KEPT),
    TrustedType(ExtraTreesRegressor, _FOREST, _check_regressor, _FOREST_KEPT),
    TrustedType(
        GradientBoostingClassifier,
        f"{_BOOSTING} classes_ n_classes_",
        _check_boosted_classifier,
        f"{_BOOSTING_KEPT} alpha",
    ),
    TrustedType(GradientBoostingRegressor, _BOOSTING, _check_boosted_regressor, _BOOSTING_KEPT),
    TrustedType(
        DummyClassifier,
        "classes_ n_classes_ class_prior_ n_outputs_ _strategy sparse_output_",
        _check_dummy_classifier,
    ),
    TrustedType(DummyRegressor, "constant_ n_outputs_", _check_dummy_regressor),
)
