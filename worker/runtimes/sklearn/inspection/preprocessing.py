"""Checks of scalers, imputers and similar transformers, which have an array with one value per column."""

from typing import Final

import numpy as np
from sklearn import preprocessing as steps
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.impute import MissingIndicator, SimpleImputer

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

MAX_POLYNOMIAL_COLUMNS: Final = 1_000_000


def _check_scaler(part: Part) -> None:
    columns = part.columns()
    for name in _SCALES.split():
        if part.has(name):
            part.array(name, (columns,))


def _check_columns(part: Part) -> None:
    part.columns()


def _check_power(part: Part) -> None:
    part.array("lambdas_", (part.columns(),))
    if part.has("_scaler"):
        part.object("_scaler", (steps.StandardScaler,))


def _check_quantiles(part: Part) -> None:
    columns = part.columns()
    references = part.array("references_", (None,))
    part.array("quantiles_", (len(references), columns))
    part.ensure(len(references) >= 1, "references_", "an array of at least one number")


def _check_polynomial(part: Part) -> None:
    """scikit-learn allocates the output by the count in the file, so the count is computed again."""
    columns = part.columns()
    low, high = part.count("_min_degree", 0, 100), part.count("_max_degree", 0, 100)
    only, bias = part.flag("interaction_only"), part.flag("include_bias")
    expected = part.value._num_combinations(columns, low, high, only, bias)
    part.ensure(expected <= MAX_POLYNOMIAL_COLUMNS, "n_output_features_", f"at most {MAX_POLYNOMIAL_COLUMNS}")
    part.ensure(part.count("n_output_features_", 0) == expected, "n_output_features_", str(expected))
    full = part.value._num_combinations(columns, 0, high, only, bias)
    part.ensure(part.count("_n_out_full", 0) == full, "_n_out_full", str(full))
    part.choice("order", ("C", "F"))


def _check_imputer(part: Part) -> None:
    columns = part.columns()
    statistics = part.array("statistics_", (columns,), "fiubUSO")
    if statistics.dtype == object:
        part.plain_values(statistics.tolist(), "statistics_")
    if part.has("indicator_"):
        indicator = part.object("indicator_", (MissingIndicator,))
        part.ensure(
            indicator.has("features_") and indicator.columns() == columns,
            "indicator_",
            "fitted on the same columns",
        )
    for name in ("_fit_dtype", "_fill_dtype"):
        is_type = not part.has(name) or isinstance(part.get(name), np.dtype)
        part.ensure(is_type, name, "a data type")


def _check_indicator(part: Part) -> None:
    columns = part.columns()
    indices = part.array("features_", (None,), "iu")
    is_valid = not indices.size or (int(indices.min()) >= 0 and int(indices.max()) < columns)
    part.ensure(is_valid, "features_", "indices of its columns")
    if part.has("_n_features"):
        part.ensure(part.count("_n_features") == columns, "_n_features", "the number of its columns")


def _check_components(part: Part) -> None:
    columns = part.columns()
    components = part.array("components_", (None, columns))
    for name, length in (("mean_", columns), ("explained_variance_", len(components))):
        if part.has(name):
            part.array(name, (length,))


_SCALES: Final = "scale_ mean_ var_ center_ min_ data_min_ data_max_ data_range_ max_abs_"
_SCALER: Final = ("n_features_in_", _check_scaler, f"{_SCALES} n_samples_seen_")

TRUSTED: Final = (
    TrustedType(steps.StandardScaler, *_SCALER),
    TrustedType(steps.MinMaxScaler, *_SCALER),
    TrustedType(steps.MaxAbsScaler, *_SCALER),
    TrustedType(steps.RobustScaler, *_SCALER),
    TrustedType(steps.Normalizer, "n_features_in_", _check_columns),
    TrustedType(steps.Binarizer, "n_features_in_", _check_columns),
    TrustedType(steps.PowerTransformer, "n_features_in_ lambdas_", _check_power, "_scaler"),
    TrustedType(
        steps.QuantileTransformer, "n_features_in_ references_ quantiles_", _check_quantiles, "n_quantiles_"
    ),
    TrustedType(
        steps.PolynomialFeatures,
        "n_features_in_ _min_degree _max_degree n_output_features_ _n_out_full",
        _check_polynomial,
    ),
    TrustedType(
        SimpleImputer, "n_features_in_ statistics_", _check_imputer, "indicator_ _fit_dtype _fill_dtype"
    ),
    TrustedType(MissingIndicator, "n_features_in_ features_", _check_indicator, "_n_features _precomputed"),
    TrustedType(TruncatedSVD, "n_features_in_ components_", _check_components, "explained_variance_"),
    TrustedType(
        PCA,
        "n_features_in_ components_ mean_ explained_variance_",
        _check_components,
        "n_components_ noise_variance_",
    ),
    TrustedType(IncrementalPCA, "n_features_in_ components_ mean_", _check_components),
)
