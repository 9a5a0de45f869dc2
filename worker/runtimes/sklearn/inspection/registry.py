"""The trusted classes. To add one, write its check and list it in the module of its family."""

from typing import Final

from worker.runtimes.sklearn.inspection import (
    bayes,
    calibration,
    clusters,
    compose,
    encoders,
    ensembles,
    factors,
    feature_selection,
    forests,
    gaussian_processes,
    hist_boosting,
    linear,
    losses,
    mixtures,
    neighbors,
    network,
    outliers,
    preprocessing,
    splines,
    svm,
    text,
    trees,
)
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_FAMILIES: Final = (
    *(trees, forests, hist_boosting, losses, svm, linear, bayes, network, neighbors),
    *(preprocessing, splines, feature_selection, encoders, text, compose, ensembles, calibration, clusters),
    *(outliers, gaussian_processes, mixtures, factors),
)

TYPES: Final[dict[str, TrustedType]] = {
    trusted.name: trusted for family in _FAMILIES for trusted in family.TRUSTED
}
"""Trusted classes by the name that skops files use."""
