"""Model files that made compiled code read or write beyond its memory: all are refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import ensemble, svm
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import Tree

from tests.worker.runtimes.sklearn.inspection import corpus
from tests.worker.runtimes.sklearn.inspection.attacks import copied, masked, refusal

pytestmark = pytest.mark.filterwarnings("ignore")


# The three attacks that were found first


def far_tree(columns: int) -> Tree:
    """Return a tree that uses the column after the last one."""
    _, _, state = DecisionTreeRegressor().fit([[0.0], [1.0]], [0.0, 1.0]).tree_.__reduce__()
    nodes = state["nodes"].copy()
    nodes["feature"][0] = columns
    made = Tree(columns + 1, np.array([1]), 1)
    made.__setstate__({**state, "nodes": nodes})
    return made


def test_a_tree_for_more_columns_than_a_masked_count_is_refused(tmp_path: Path) -> None:
    model = DecisionTreeRegressor().fit([[0.0], [1.0]], [0.0, 1.0])
    model.tree_ = far_tree(50)
    model.n_features_in_ = masked(51)

    assert "numpy.ma" in refusal(model, tmp_path / "m")


def test_fewer_coefficients_than_support_vectors_are_refused(tmp_path: Path) -> None:
    model = svm.SVR().fit(corpus.ROWS, corpus.VALUES)
    count = len(model.support_vectors_)
    more = count + 24
    model.support_vectors_ = np.zeros((more, 4))
    model.support_ = np.arange(more, dtype=np.int32)
    model._n_support = np.array([more, more], dtype=np.int32)
    model._dual_coef_ = np.zeros((1, count))

    assert "_dual_coef_ of its SVR must be an array of shape" in refusal(model, tmp_path / "m")


def test_more_trees_in_a_stage_than_output_columns_are_refused(tmp_path: Path) -> None:
    model = ensemble.GradientBoostingRegressor(n_estimators=1).fit(corpus.ROWS, corpus.VALUES)
    stages = np.empty((1, 400), dtype=object)
    stages[:] = model.estimators_[0, 0]
    model.estimators_ = stages

    assert "estimators_ of its GradientBoostingRegressor must be an array of shape" in refusal(
        model, tmp_path / "m"
    )


# Masked counts


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("tree", "n_features_in_"),
        ("tree", "n_outputs_"),
        ("tree", "n_classes_"),
        ("forest", "n_features_in_"),
        ("forest", "n_outputs_"),
        ("forest", "n_classes_"),
        ("boosting", "n_trees_per_iteration_"),
        ("boosting", "n_classes_"),
        ("hist boosting", "n_trees_per_iteration_"),
        ("hist boosting", "n_features_in_"),
        ("svc", "n_features_in_"),
        ("network", "n_layers_"),
        ("network", "n_outputs_"),
        ("neighbours", "n_samples_fit_"),
        ("neighbours", "n_neighbors"),
        ("bagging", "n_features_in_"),
        ("logistic", "n_features_in_"),
    ],
)
def test_a_count_that_is_masked_is_refused(name: str, count: str, tmp_path: Path) -> None:
    model = copied(name)
    setattr(model, count, masked(getattr(model, count)))

    assert "numpy.ma" in refusal(model, tmp_path / "m")


@pytest.mark.parametrize("value", [True, 4.0, -4, 2**40, np.array([4]), "4", None])
def test_a_count_that_is_not_a_plain_integer_is_refused(value: Any, tmp_path: Path) -> None:
    model = copied("logistic")
    model.n_features_in_ = value

    assert "n_features_in_" in refusal(model, tmp_path / "m")


def test_a_member_of_an_ensemble_is_checked_like_a_model(tmp_path: Path) -> None:
    model = copied("ada boost")
    model.estimators_[0].tree_ = far_tree(4)

    assert "number of columns" in refusal(model, tmp_path / "m")


# Similar attacks, by the compiled code that reads or writes


def _change(name: str, **values: Any) -> Callable[[], Any]:
    def make() -> Any:
        model = copied(name)
        for attribute, value in values.items():
            setattr(model, attribute, value(getattr(model, attribute)))
        return model

    return make


def _cut(array: Any) -> Any:
    return np.ascontiguousarray(array[..., :-1])


def boosted_from_fewer_classes() -> Any:
    model = copied("boosting")
    model.init_ = DummyClassifier().fit(corpus.ROWS, corpus.PAIR)
    return model


def boosted_by_another_loss() -> Any:
    model = copied("boosting")
    model._loss = copied("boosting of two")._loss
    return model


def hist_boosted_behind_a_narrow_step() -> Any:
    model = copied("categories")
    step = ColumnTransformer(
        [
            ("encoder", copied("categories")._preprocessor.transformers_[0][1], [True, True, False]),
            ("numerical", "drop", [False, False, True]),
        ]
    )
    narrow = copy.copy(model._preprocessor)
    narrow.transformers_ = step.transformers
    model._preprocessor = narrow
    return model


def hist_boosting_with_a_preprocessor_that_drops_columns() -> Any:
    """Each step is valid, but together they have too few columns for the trees."""
    model = copied("categories")
    narrow = copy.copy(model._preprocessor)
    narrow.transformers_ = [step for step in narrow.transformers_ if step[0] == "encoder"]
    assert sum(narrow.transformers_[0][2]) == 2
    model._preprocessor = narrow
    return model


def hist_boosted_with_a_category_of_another_kind() -> Any:
    model = copied("categories")
    model._bin_mapper.is_categorical_ = np.zeros(3, np.uint8)
    return model


def with_words_beyond_the_vocabulary() -> Any:
    model = copied("counts")
    model[0].vocabulary_[next(iter(model[0].vocabulary_))] = 100_000
    return model


def with_weights_of_fewer_words() -> Any:
    model = copied("tf-idf")
    weights = model[0]._tfidf
    weights.idf_ = weights.idf_[:-1]
    return model


def one_hot_with_less_room() -> Any:
    model = copied("one-hot")
    model[0]._n_features_outs = [1 for _ in model[0]._n_features_outs]
    return model


def one_hot_with_a_map_beyond_its_room() -> Any:
    model = copied("one-hot of few")
    encoder = model[0].transformers_[0][1]
    encoder._default_to_infrequent_mappings = [
        None if mapping is None else mapping + 10_000 for mapping in encoder._default_to_infrequent_mappings
    ]
    return model


def one_hot_out_of_order() -> Any:
    model = copied("one-hot")
    model[0].categories_ = [values[::-1].copy() for values in model[0].categories_]
    return model


def sparse_coefficients_beyond_their_shape() -> Any:
    model = copied("logistic").sparsify()
    model.coef_.indices[0] = 10_000_000
    return model


def sparse_vectors_beyond_their_shape() -> Any:
    model = svm.SVC().fit(corpus.sparse_rows(), corpus.KINDS)
    model.support_vectors_.indptr[-1] += 1000
    return model


def sparse_machine_with_few_coefficients() -> Any:
    model = svm.SVC().fit(corpus.sparse_rows(), corpus.KINDS)
    model._dual_coef_ = sparse.csr_matrix(model._dual_coef_.shape)
    return model


def sparse_machine_with_weights_of_other_classes() -> Any:
    model = svm.SVC().fit(corpus.sparse_rows(), corpus.KINDS)
    model.class_weight_ = np.ones(1)
    return model


def a_function_that_writes() -> Any:
    model = copied("function")
    model[0].kw_args = {"out": np.zeros((1, 1))}
    return model


def an_encoder_of_columns_that_are_not_there() -> Any:
    model = copied("one-hot of few")
    model[0].transformers_ = [
        (name, step, [0, 40] if name == "few" else columns) for name, step, columns in model[0].transformers_
    ]
    return model


def fewer_than_its_classes() -> Any:
    model = copied("one to rest")
    model.estimators_ = model.estimators_[:1]
    return model


def tweedie_by_another_link() -> Any:
    model = copied("tweedie")
    model._base_loss.link = copied("boosting")._loss.link
    return model


CASES: dict[str, Callable[[], Any]] = {
    "machine: intercepts": _change("svc", _intercept_=_cut),
    "machine: probabilities": _change("svc with probabilities", _probA=_cut, _probB=_cut),
    "machine: counts of vectors": _change("svc", _n_support=lambda _: np.array([-5, 500, 40], np.int32)),
    "machine: coefficients by class": _change("svc", _dual_coef_=lambda array: array[:1].copy()),
    "machine: places": _change("nu svc", support_=_cut),
    "machine: kernel": _change("svc", kernel=lambda _: "precomputed", shape_fit_=lambda _: (4, 4)),
    "machine: regression": _change("nu svr", _intercept_=lambda _: np.zeros(0)),
    "machine: classes": _change("svc", classes_=lambda _: np.arange(9)),
    "machine: columns": _change("svc", n_features_in_=lambda _: 40),
    "sparse machine: vectors": sparse_vectors_beyond_their_shape,
    "sparse machine: coefficients": sparse_machine_with_few_coefficients,
    "sparse machine: weights": sparse_machine_with_weights_of_other_classes,
    "boosting: trees in a stage": _change("boosting", n_trees_per_iteration_=lambda _: 1),
    "boosting: first estimate": boosted_from_fewer_classes,
    "boosting: loss": boosted_by_another_loss,
    "boosting: first estimate of another kind": _change(
        "boosting", init_=lambda _: copied("logistic of two")
    ),
    "histogram: baseline": _change("hist boosting", _baseline_prediction=lambda _: np.zeros((1, 1))),
    "histogram: stages": _change("hist boosting", n_trees_per_iteration_=lambda _: 1),
    "histogram: narrow step": hist_boosted_behind_a_narrow_step,
    "histogram: a step less": hist_boosting_with_a_preprocessor_that_drops_columns,
    "histogram: categories": hist_boosted_with_a_category_of_another_kind,
    "network: matrices": _change("network", coefs_=lambda arrays: [arrays[0][:, :-1], *arrays[1:]]),
    "network: layers": _change("network", n_layers_=lambda _: 9),
    "neighbours: labels": _change("neighbours", _y=lambda labels: labels + 1_000_000),
    "neighbours: rows": _change("neighbours", n_samples_fit_=lambda _: 10_000),
    "neighbours: how many": _change("neighbours", n_neighbors=lambda _: 10_000),
    "neighbours within a radius: labels": _change("neighbours within a radius", _y=lambda known: known + 99),
    "neighbours within a radius: negative labels": _change(
        "neighbours within a radius, by hand", _y=lambda known: known - 99
    ),
    "neighbours within a radius: rows": _change("neighbours within a radius, by hand", _fit_X=_cut),
    "neighbours within a radius: radius": _change("neighbours within a radius", radius=lambda _: np.nan),
    "neighbours within a radius: other label": _change(
        "neighbours within a radius", outlier_label_=lambda _: [np.arange(3)]
    ),
    "neighbours within a radius: no label": _change(
        "neighbours within a radius, by hand", outlier_label_=lambda _: None
    ),
    "neighbours within a radius: values": _change("neighbours regressor within a radius", _y=_cut),
    "mixture: means": _change("mixture", means_=_cut),
    "mixture: weights": _change("mixture", weights_=_cut),
    "mixture: no weight": _change("mixture", weights_=lambda known: known * np.nan),
    "mixture: precisions": _change("mixture", precisions_cholesky_=_cut),
    "mixture: another kind": _change("mixture", covariance_type=lambda _: "diag"),
    "mixture: columns": _change("mixture, tied", n_features_in_=lambda _: 40),
    "mixture: precisions of a column": _change("mixture, spherical", precisions_cholesky_=_cut),
    "factors: components": _change("factors alone", components_=_cut),
    "factors: how many": _change("factors alone", n_components_=lambda _: 9),
    "factors: below zero": _change("factors alone", components_=lambda known: -known),
    "factors: for ever": _change("factors alone", max_iter=lambda _: 2**31 - 1),
    "factors: solver": _change("factors alone", solver=lambda _: "magic"),
    "factors: loss": _change("factors by divergence", beta_loss=lambda _: [2]),
    "tweedie: loss": _change("tweedie", _base_loss=lambda _: copied("gamma")._base_loss),
    "poisson: loss": _change("poisson", _base_loss=lambda _: copied("gamma")._base_loss),
    "tweedie: link": tweedie_by_another_link,
    "tweedie: columns": _change("tweedie by logarithm", coef_=_cut),
    "halving: no estimator": _change("halving", best_estimator_=lambda _: "magic"),
    "bagging: columns": _change("bagging", estimators_features_=lambda found: [each + 90 for each in found]),
    "forest: members": _change("forest", estimators_=lambda found: [*found, copied("logistic")]),
    "words: places": with_words_beyond_the_vocabulary,
    "words: weights": with_weights_of_fewer_words,
    "one-hot: widths": one_hot_with_less_room,
    "one-hot: infrequent": one_hot_with_a_map_beyond_its_room,
    "one-hot: order": one_hot_out_of_order,
    "coefficients: sparse": sparse_coefficients_beyond_their_shape,
    "coefficients: columns": _change("logistic", coef_=_cut),
    "coefficients: one to rest": fewer_than_its_classes,
    "function: where it writes": a_function_that_writes,
    "columns: places": an_encoder_of_columns_that_are_not_there,
    "averages: gradient descent": _change("sgd regressor", _average_coef=lambda array: array[:1].copy()),
}


@pytest.mark.parametrize("name", CASES)
def test_a_model_whose_parts_do_not_match_is_refused(name: str, tmp_path: Path) -> None:
    assert refusal(CASES[name](), tmp_path / "m")
