"""Checks of linear models and discriminants, of which NumPy multiplies the coefficients."""

from typing import Any, Final

from sklearn import linear_model as models
from sklearn._loss import _loss, loss
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import _sgd_fast
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import LinearSVC, LinearSVR

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_classifier(part: Part) -> None:
    """One row of coefficients per class, or a single row for two classes."""
    columns = part.columns()
    classes = part.classes()
    rows = 1 if classes == 2 else classes
    part.matrix("coef_", (rows, columns))
    _check_intercept(part, rows)
    _check_sgd_state(part)


def _check_discriminant(part: Part) -> None:
    """`LinearDiscriminantAnalysis` also transforms."""
    columns = part.columns()
    _check_classifier(part)
    if part.has("scalings_"):
        part.array("scalings_", (columns, None))
    for name, shape in (("means_", (None, columns)), ("xbar_", (columns,))):
        if part.has(name):
            part.array(name, shape)


def _check_ridge_classifier(part: Part) -> None:
    part.object("_label_binarizer", (LabelBinarizer,))
    classes = part.object("_label_binarizer", (LabelBinarizer,)).classes()
    columns, rows = part.columns(), 1 if classes == 2 else classes
    part.matrix("coef_", (rows, columns))
    _check_intercept(part, rows)


def _check_regressor(part: Part) -> None:
    """One row of coefficients per output, or a vector for a single output."""
    columns, coefficients = part.columns(), part.get("coef_")
    outputs = None if getattr(coefficients, "ndim", 1) == 1 else int(coefficients.shape[0])
    part.matrix("coef_", (columns,) if outputs is None else (outputs, columns))
    _check_intercept(part, outputs or 1)
    _check_sgd_state(part)


def _check_generalised(part: Part) -> None:
    _check_regressor(part)
    part.object("_base_loss", _GENERALISED[type(part.value)])


_GENERALISED: Final[dict[type, tuple[type, ...]]] = {
    models.PoissonRegressor: (loss.HalfPoissonLoss,),
    models.GammaRegressor: (loss.HalfGammaLoss,),
    models.TweedieRegressor: (loss.HalfTweedieLoss, loss.HalfTweedieLossIdentity),
}


def _check_intercept(part: Part, outputs: int) -> None:
    if getattr(part.get("intercept_"), "ndim", 0):
        part.array("intercept_", (outputs,))
    else:
        part.number("intercept_")


def _check_sgd_state(part: Part) -> None:
    """The state from which stochastic gradient descent resumes; compiled code writes into it."""
    for name in ("_standard_coef", "_average_coef", "_standard_intercept", "_average_intercept"):
        if part.has(name):
            reference = part.get("coef_" if name.endswith("coef") else "intercept_")
            array = part.as_array(part.get(name), name, getattr(part.get(name), "shape", ()))
            part.ensure(array.size == reference.size, name, "as large as the coefficients")
    if part.has("_loss_function_"):
        part.ensure(
            type(part.get("_loss_function_")) in _SGD_LOSSES,
            "_loss_function_",
            "a loss of stochastic gradient descent",
        )
    if part.has("t_"):
        part.number("t_")


_SGD_LOSSES: Final = (
    _sgd_fast.EpsilonInsensitive,
    _sgd_fast.Hinge,
    _sgd_fast.ModifiedHuber,
    _sgd_fast.SquaredEpsilonInsensitive,
    _sgd_fast.SquaredHinge,
    _loss.CyHalfBinomialLoss,
    _loss.CyHalfSquaredError,
    _loss.CyHuberLoss,
)


def _check_quadratic(part: Part) -> None:
    columns, classes = part.columns(), part.classes()
    part.array("means_", (classes, columns))
    part.array("priors_", (classes,))
    for name, shape in (("scalings_", (None,)), ("rotations_", (columns, None))):
        for value in part.sequence(name, classes):
            part.as_array(value, name, shape)


def _trust_all(kinds: Any, fitted: str, check: Any, kept: str = "") -> tuple[TrustedType, ...]:
    return tuple(TrustedType(kind, fitted, check, kept) for kind in kinds)


_FITTED: Final = "coef_ intercept_ n_features_in_"
_SGD: Final = (
    "t_ n_iter_ loss penalty learning_rate epsilon alpha l1_ratio eta0 power_t average early_stopping"
    " validation_fraction n_iter_no_change _expanded_class_weight _loss_function_"
    " _standard_coef _average_coef _standard_intercept _average_intercept"
)

TRUSTED: Final = (
    *_trust_all(
        (models.LogisticRegression, models.LogisticRegressionCV, LinearSVC),
        f"{_FITTED} classes_",
        _check_classifier,
    ),
    *_trust_all(
        (models.SGDClassifier, models.Perceptron, models.PassiveAggressiveClassifier),
        f"{_FITTED} classes_",
        _check_classifier,
        _SGD,
    ),
    *_trust_all((models.SGDRegressor, models.PassiveAggressiveRegressor), _FITTED, _check_regressor, _SGD),
    *_trust_all(
        (models.RidgeClassifier, models.RidgeClassifierCV),
        f"{_FITTED} _label_binarizer",
        _check_ridge_classifier,
        "classes_",
    ),
    *_trust_all(
        (
            *(models.LinearRegression, models.Ridge, models.RidgeCV, models.Lasso, models.LassoCV),
            *(models.ElasticNet, models.ElasticNetCV, models.MultiTaskLasso, models.MultiTaskElasticNet),
            *(models.Lars, models.LarsCV, models.LassoLars, models.LassoLarsCV, models.LassoLarsIC),
            *(models.OrthogonalMatchingPursuit, models.OrthogonalMatchingPursuitCV),
            *(models.BayesianRidge, models.ARDRegression, models.HuberRegressor),
            *(models.QuantileRegressor, models.TheilSenRegressor, LinearSVR),
        ),
        _FITTED,
        _check_regressor,
    ),
    *_trust_all(_GENERALISED, f"{_FITTED} _base_loss", _check_generalised),
    TrustedType(
        LinearDiscriminantAnalysis,
        f"{_FITTED} classes_",
        _check_discriminant,
        "scalings_ means_ xbar_ priors_ _max_components",
    ),
    TrustedType(
        QuadraticDiscriminantAnalysis,
        "n_features_in_ classes_ means_ priors_ scalings_ rotations_",
        _check_quadratic,
        "covariance_",
    ),
)
