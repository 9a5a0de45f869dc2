"""Attacks on the reading of skops files, all of which are refused."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn import linear_model
from sklearn.cluster import DBSCAN
from sklearn.decomposition import MiniBatchNMF
from sklearn.mixture import BayesianGaussianMixture
from sklearn.tree import DecisionTreeClassifier

from tests.worker.runtimes.sklearn.inspection import corpus
from tests.worker.runtimes.sklearn.inspection.attacks import copied, masked, refusal
from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.runtime import SklearnRuntime

pytestmark = pytest.mark.filterwarnings("ignore")


def rewritten(model: Any, change: Callable[[str], str]) -> bytes:
    """Return the file of a model with its schema changed as text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "schema.json" else content)
    return buffer.getvalue()


def test_a_tree_with_a_wrong_node_count_is_refused(tmp_path: Path) -> None:
    model = DecisionTreeClassifier().fit(corpus.ROWS, corpus.KINDS)
    count = model.tree_.node_count

    def claim(schema: str) -> str:
        parsed = json.loads(schema)
        state = parsed["content"]["content"]["tree_"]["content"]["content"]
        assert state["node_count"]["content"] == str(count)
        state["node_count"]["content"] = "1000000"
        return json.dumps(parsed)

    (tmp_path / "m").write_bytes(rewritten(model, claim))

    with pytest.raises(BrokenModel, match="number of nodes is not its node_count"):
        SklearnRuntime().inspect(tmp_path / "m")


def test_a_tree_with_a_wrong_number_of_outputs_is_refused(tmp_path: Path) -> None:
    def claim(schema: str) -> str:
        parsed = json.loads(schema)
        outputs = parsed["content"]["content"]["tree_"]["__reduce__"]["args"]["content"][2]
        del outputs["__id__"]  # every 1 is the same object
        outputs["content"] = "100000"
        return json.dumps(parsed)

    model = DecisionTreeClassifier().fit(corpus.ROWS, corpus.KINDS)
    (tmp_path / "m").write_bytes(rewritten(model, claim))

    with pytest.raises(BrokenModel, match="invalid numbers of classes"):
        SklearnRuntime().inspect(tmp_path / "m")


def test_a_random_state_with_a_position_beyond_its_end_is_refused(tmp_path: Path) -> None:
    model = linear_model.SGDClassifier(random_state=np.random.RandomState(1)).fit(corpus.ROWS, corpus.KINDS)
    state = model.random_state.get_state(legacy=False)
    state["state"]["pos"] = 1_000_000
    model.random_state.set_state(state)

    assert "random generator" in refusal(model, tmp_path / "m")


@pytest.mark.parametrize(
    "model",
    [
        BayesianGaussianMixture(n_components=2),
        MiniBatchNMF(2),
        DBSCAN(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_an_untrusted_class_is_refused_by_name_even_when_nested(model: Any, tmp_path: Path) -> None:
    outer = copied("bagging")
    outer.estimators_[0] = model.fit(corpus.ROWS)

    assert type(model).__name__ in refusal(outer, tmp_path / "m")


def test_undeclared_attributes_are_not_constructed(tmp_path: Path) -> None:
    """A search stores its scores in masked arrays, which are not needed to predict."""
    model = copied("grid search")
    assert isinstance(model.cv_results_["param_C"], np.ma.MaskedArray)
    model.predict = masked(1)
    skops.io.dump(model, tmp_path / "m")

    loaded = SklearnRuntime().inspect(tmp_path / "m")

    assert loaded.classes == ("0", "1", "2")
