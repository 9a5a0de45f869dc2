"""Checks of naive Bayes models."""

from typing import Final

from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_discrete(part: Part) -> None:
    columns, classes = part.columns(), part.classes()
    # Some models of two classes are fitted on a single column of labels.
    for name in ("feature_log_prob_", "feature_count_"):
        if part.has(name):
            part.array(name, (classes, columns))
    for name in ("class_log_prior_", "class_count_"):
        if part.has(name):
            part.array(name, (classes,))


def _check_gaussian(part: Part) -> None:
    columns, classes = part.columns(), part.classes()
    part.array("theta_", (classes, columns))
    part.array("var_", (classes, columns))
    part.array("class_prior_", (classes,))


def _check_categorical(part: Part) -> None:
    columns, classes = part.columns(), part.classes()
    for value in part.sequence("feature_log_prob_", columns):
        part.as_array(value, "feature_log_prob_", (classes, None))
    part.array("class_log_prior_", (classes,))
    part.array("n_categories_", (columns,), "iu")


_FITTED: Final = "n_features_in_ classes_ feature_log_prob_ class_log_prior_"

TRUSTED: Final = (
    TrustedType(MultinomialNB, _FITTED, _check_discrete, "class_count_ feature_count_"),
    TrustedType(BernoulliNB, _FITTED, _check_discrete, "class_count_ feature_count_"),
    TrustedType(ComplementNB, _FITTED, _check_discrete, "class_count_ feature_count_ feature_all_"),
    TrustedType(
        CategoricalNB, f"{_FITTED} n_categories_", _check_categorical, "class_count_ category_count_"
    ),
    TrustedType(GaussianNB, "n_features_in_ classes_ theta_ var_ class_prior_", _check_gaussian, "epsilon_"),
)
