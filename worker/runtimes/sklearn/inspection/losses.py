"""Checks of the losses and links of boosting and of generalised linear models. They contain no arrays."""

from typing import Final

from sklearn._loss import link, loss

from worker.runtimes.sklearn.inspection import functions
from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_LINKS: Final = (
    link.HalfLogitLink,
    link.IdentityLink,
    link.LogitLink,
    link.LogLink,
    link.MultinomialLogit,
)

_LOSSES: Final[dict[type, type]] = {
    loss.AbsoluteError: link.IdentityLink,
    loss.ExponentialLoss: link.HalfLogitLink,
    loss.HalfBinomialLoss: link.LogitLink,
    loss.HalfGammaLoss: link.LogLink,
    loss.HalfMultinomialLoss: link.MultinomialLogit,
    loss.HalfPoissonLoss: link.LogLink,
    loss.HalfSquaredError: link.IdentityLink,
    loss.HalfTweedieLoss: link.LogLink,
    loss.HalfTweedieLossIdentity: link.IdentityLink,
    loss.HuberLoss: link.IdentityLink,
    loss.PinballLoss: link.IdentityLink,
}
"""The link of each loss. Another link could return another shape, and so change the size of a prediction."""


def _check_loss(part: Part) -> None:
    part.object("link", (_LOSSES[type(part.value)],))
    part.ensure(type(part.get("closs")) in functions.LOSSES.values(), "closs", "a compiled loss")
    if part.has("n_classes"):
        part.count("n_classes")


def _check_interval(part: Part) -> None:
    for name in ("low", "high"):
        part.ensure(type(part.get(name)) in (int, float), name, "a number")
    for name in ("low_inclusive", "high_inclusive"):
        part.flag(name)


_KEPT: Final = (
    "n_classes approx_hessian constant_hessian interval_y_true interval_y_pred quantile delta xp device"
    " class_indexing_offsets y_true_int y_true_one_hot"
)

TRUSTED: Final = (
    TrustedType(link.Interval, "low high low_inclusive high_inclusive", _check_interval),
    *(TrustedType(kind, kept="interval_y_pred") for kind in _LINKS),
    *(TrustedType(kind, "closs link", _check_loss, _KEPT) for kind in _LOSSES),
)
