"""Compiled objects that cannot be checked are rebuilt from checked attributes."""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from tests.worker.runtimes.sklearn.inspection import corpus
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn import inspection

pytestmark = pytest.mark.filterwarnings("ignore")


def copied(name: str) -> Any:
    model, _ = corpus.fitted(name)
    return copy.deepcopy(model)


def changed(name: str, change: Callable[[Any], None]) -> bytes:
    model = copied(name)
    change(model)
    content: bytes = skops.io.dumps(model)
    return content


def test_a_search_tree_is_rebuilt_and_never_loaded() -> None:
    """The tree in the file has other rows, but the neighbours come from the rows of the model."""
    model = copied("neighbours in a tree")
    expected = model.predict(corpus.ROWS)
    strange = copied("neighbours in a tree").fit(-corpus.ROWS, corpus.KINDS)
    model._tree = strange._tree

    loaded = inspection.loads(skops.io.dumps(model))

    assert np.array_equal(loaded.predict(corpus.ROWS), expected)


def test_a_spline_is_rebuilt_by_its_constructor() -> None:
    model = copied("splines")
    loaded = inspection.loads(skops.io.dumps(model))

    for made, own in zip(loaded[0].bsplines_, model[0].bsplines_, strict=True):
        assert np.array_equal(made.t, own.t)
        assert np.array_equal(made.c, own.c)
        assert (made.k, made.extrapolate) == (own.k, own.extrapolate)


def _set(*path: str | int, value: Any) -> Callable[[Any], None]:
    """Return a function that sets one attribute, on a path of attributes and indices."""

    def change(model: Any) -> None:
        for step in path[:-1]:
            model = model[step] if isinstance(step, int) else getattr(model, step)
        last = str(path[-1])
        setattr(model, last, value(getattr(model, last)) if callable(value) else value)

    return change


TAMPERED = {
    "rows that are no numbers": ("neighbours in a tree", _set("_fit_X", value=lambda rows: rows * np.nan)),
    "fewer rows than labels": ("neighbours in a tree", _set("_fit_X", value=lambda rows: rows[:9].copy())),
    "no leaf": ("neighbours in a tree", _set("leaf_size", value=0)),
    "a metric of no tree": ("neighbours in a tree", _set("effective_metric_", value="cosine")),
    "a method of none": ("neighbours in a tree", _set("_fit_method", value="magic")),
    "knots of fewer": ("splines", _set(0, "bsplines_", 0, "_t", value=lambda knots: knots[:-2].copy())),
    "knots in disorder": ("splines", _set(0, "bsplines_", 0, "_t", value=lambda knots: knots[::-1].copy())),
    "a higher degree": ("splines", _set(0, "bsplines_", 1, "k", value=9)),
    "wider splines": ("splines", _set(0, "n_features_out_", value=3)),
    "another degree than its splines": ("splines", _set(0, "degree", value=2)),
    "fewer splines": ("splines", _set(0, "bsplines_", value=lambda splines: splines[:1])),
    "thresholds in disorder": (
        "calibrated, isotonic",
        _set("calibrated_classifiers_", 0, "calibrators", 0, "X_thresholds_", value=lambda known: -known),
    ),
    "fewer thresholds": (
        "calibrated, isotonic",
        _set("calibrated_classifiers_", 0, "calibrators", 0, "y_thresholds_", value=lambda known: known[:1]),
    ),
    "calibrated for other classes": (
        "calibrated",
        _set("calibrated_classifiers_", 0, "classes", value=np.arange(2)),
    ),
    "centres of fewer columns": ("clusters", _set("cluster_centers_", value=lambda made: made[:, :2].copy())),
    "a mask of fewer columns": ("elimination", _set("support_", value=np.array([True]))),
    "scores of fewer columns": ("best columns", _set(0, "scores_", value=np.ones(2))),
    "columns behind the row": (
        "isolation forest",
        _set("estimators_features_", value=lambda chosen: [np.array([0, 900]) for _ in chosen]),
    ),
    "depths of fewer nodes": (
        "isolation forest",
        _set("_decision_path_lengths", value=lambda depths: tuple(each[:1] for each in depths)),
    ),
    "trees of fewer columns": ("isolation forest", _set("_max_features", value=4)),
    "densities of fewer rows": ("local outliers", _set("_lrd", value=np.ones(3))),
    "weights of fewer rows": ("process", _set("alpha_", value=np.ones(3))),
    "another number of outputs": ("process", _set("_y_train_mean", value=np.ones(7))),
    "a mask of other rows": ("neighbours for gaps", _set(0, "_mask_fit_X", value=np.zeros((2, 4), bool))),
    "a threshold that is none": ("tuned threshold", _set("best_threshold_", value=np.float64("nan"))),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_part_that_does_not_match_is_refused(name: str) -> None:
    model, change = TAMPERED[name]

    with pytest.raises((BrokenModel, UnsafeModel)):
        inspection.loads(changed(model, change))


def test_a_metric_is_refused_as_the_function_of_a_transformer() -> None:
    """The loader trusts metrics, but only in tuned thresholds."""
    from sklearn.metrics import f1_score

    content = skops.io.dumps(FunctionTransformer(f1_score).fit(corpus.ROWS))

    with pytest.raises(BrokenModel, match="an elementwise function"):
        inspection.loads(content)


def test_attributes_that_only_training_needs_are_cleared(tmp_path: Path) -> None:
    """A score function may be defined by the user; it is never imported."""
    content = skops.io.dumps(copied("best columns"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read("schema.json").decode()
        members = {name: archive.read(name) for name in archive.namelist()}
    assert '"f_classif"' in schema
    members["schema.json"] = schema.replace("f_classif", "system").encode()
    with zipfile.ZipFile(tmp_path / "model", "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    assert "system" in json.dumps(json.loads(members["schema.json"]))

    loaded = inspection.load(tmp_path / "model")

    assert loaded[0].score_func is None
    assert np.array_equal(loaded.predict(corpus.ROWS), copied("best columns").predict(corpus.ROWS))
