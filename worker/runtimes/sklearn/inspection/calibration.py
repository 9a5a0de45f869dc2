"""Checks of calibrated classifiers and tuned thresholds."""

from typing import Final

import numpy as np
from sklearn import calibration
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics._scorer import _CurveScorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from worker.runtimes.sklearn.inspection import functions
from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_CALIBRATORS: Final = {
    "sigmoid": calibration._SigmoidCalibration,
    "isotonic": IsotonicRegression,
    "temperature": calibration._TemperatureScaling,
}


def _check_calibrated(part: Part) -> None:
    """Each member must have all classes, because it writes one column for each into a shared matrix."""
    classes = part.classes()
    members = part.objects("calibrated_classifiers_", (calibration._CalibratedClassifier,))
    part.ensure(len(members) >= 1, "calibrated_classifiers_", "a list of at least one")
    for member in members:
        part.ensure(member.classes("classes") == classes, "calibrated_classifiers_", "for the same classes")


def _check_member(part: Part) -> None:
    classes = part.classes("classes")
    part.ensure(isinstance(part.get("estimator"), BaseEstimator), "estimator", "an estimator")
    method = part.choice("method", _CALIBRATORS)
    calibrators = part.objects("calibrators", (_CALIBRATORS[method],))
    part.ensure(1 <= len(calibrators) <= classes, "calibrators", "at most one for each class")


def _check_sigmoid(part: Part) -> None:
    part.number("a_")
    part.number("b_")


def _check_temperature(part: Part) -> None:
    part.number("beta_")


def _check_isotonic(part: Part) -> None:
    """Rebuild the interpolation function, as scikit-learn does when it unpickles."""
    known = part.array("X_thresholds_", (None,))
    values = part.array("y_thresholds_", known.shape)
    is_rising = len(known) >= 1 and bool(np.isfinite(known).all() and (np.diff(known) > 0).all())
    part.ensure(is_rising, "X_thresholds_", "numbers in ascending order")
    part.ensure(np.isfinite(values).all(), "y_thresholds_", "finite numbers")
    for name in ("X_min_", "X_max_"):
        part.number(name)
    part.choice("out_of_bounds", ("nan", "clip", "raise"))
    part.value._build_f(known, values)


def _check_threshold(part: Part) -> None:
    part.ensure(isinstance(part.get("estimator_"), BaseEstimator), "estimator_", "an estimator")
    part.choice("response_method", ("auto", "predict_proba", "decision_function"))
    if part.get("threshold") not in (None, "auto"):
        part.number("threshold")
    part.plain_values([part.get("pos_label")], "pos_label")


def _check_tuned(part: Part) -> None:
    part.ensure(isinstance(part.get("estimator_"), BaseEstimator), "estimator_", "an estimator")
    part.choice("response_method", ("auto", "predict_proba", "decision_function"))
    part.number("best_threshold_")
    part.object("_curve_scorer", (_CurveScorer,))


def _check_scorer(part: Part) -> None:
    """A loaded scorer is only used to determine the positive class."""
    is_metric = part.get("_score_func") in functions.METRICS.values()
    part.ensure(is_metric, "_score_func", "a metric of scikit-learn for two classes")
    keywords = part.get("_kwargs")
    part.ensure(type(keywords) is dict, "_kwargs", "a dictionary")
    part.plain_values([keywords.get("pos_label")], "_kwargs")


TRUSTED: Final = (
    TrustedType(
        calibration.CalibratedClassifierCV,
        "classes_ calibrated_classifiers_",
        _check_calibrated,
        "",
        "cv",
    ),
    TrustedType(calibration._CalibratedClassifier, "estimator calibrators classes method", _check_member),
    TrustedType(calibration._SigmoidCalibration, "a_ b_", _check_sigmoid),
    TrustedType(calibration._TemperatureScaling, "beta_", _check_temperature),
    TrustedType(
        IsotonicRegression, "X_thresholds_ y_thresholds_ X_min_ X_max_", _check_isotonic, "increasing_"
    ),
    TrustedType(FixedThresholdClassifier, "estimator_", _check_threshold),
    TrustedType(
        TunedThresholdClassifierCV,
        "estimator_ best_threshold_ _curve_scorer",
        _check_tuned,
        "",
        "scoring cv thresholds random_state",
    ),
    TrustedType(_CurveScorer, "_score_func _kwargs", _check_scorer),
)
