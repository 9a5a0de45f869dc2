"""The classes that are trusted. To add one, write its check and list it in the module of its family."""

from typing import Final

from worker.runtimes.inspection import (
    bayes,
    compose,
    encoders,
    ensembles,
    forests,
    hist_boosting,
    linear,
    losses,
    neighbors,
    network,
    preprocessing,
    svm,
    text,
    trees,
)
from worker.runtimes.inspection.trusted_type import TrustedType

_FAMILIES: Final = (
    *(trees, forests, hist_boosting, losses, svm, linear, bayes, network, neighbors),
    *(preprocessing, encoders, text, compose, ensembles),
)

TYPES: Final[dict[str, TrustedType]] = {
    trusted.name: trusted for family in _FAMILIES for trusted in family.TRUSTED
}
"""Each by the name that a file has for it."""
