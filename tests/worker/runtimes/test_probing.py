"""Typical uploads are accepted and predict; models that cannot predict are refused with a reason."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import CategoricalNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from app.jobs.params import ModelReference
from app.models.versions import Signature, Task
from tests.worker.runtimes.sklearn.inspection import corpus
from worker.context import JobError, RowError
from worker.runtimes import probing
from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.runtime import SklearnRuntime

pytestmark = pytest.mark.filterwarnings("ignore")

RUNTIME = SklearnRuntime()
REFERENCE = ModelReference(name="mine", version=1, runtime="sklearn")
CITIES = ["Oslo", "Rome", "Oslo", "Rome"] * 5
AGES = [5.0, 60.0, 7.0, 50.0] * 5
LABELS = ["n", "s", "n", "s"] * 5
FRAME = pa.table({"city": CITIES, "age": AGES})
PEOPLE = [{"city": "Oslo", "age": 5}, {"city": "Rome", "age": 61.5}]


def inspected(model: Any, folder: Path) -> Signature:
    skops.io.dump(model, folder / "model")
    return RUNTIME.inspect(folder / "model")


def predicted(model: Any, folder: Path, rows: list[Any]) -> list[Any]:
    skops.io.dump(model, folder / "model")
    return RUNTIME.load(REFERENCE, folder / "model").predict(rows)


def by_columns() -> ColumnTransformer:
    return ColumnTransformer(
        [("city", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("age", StandardScaler(), ["age"])]
    )


def nested() -> Any:
    inner = ColumnTransformer([("age", StandardScaler(), ["age"])], remainder="drop")
    outer = ColumnTransformer(
        [("city", OneHotEncoder(), ["city"]), ("inner", inner, ["age"])], verbose_feature_names_out=False
    )
    return make_pipeline(outer, LogisticRegression()).fit(FRAME, LABELS)


def with_pandas_output() -> Any:
    model = make_pipeline(by_columns(), LogisticRegression()).fit(FRAME, LABELS)
    return model.set_output(transform="pandas")


def with_selected_columns() -> Any:
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), ["city"])])
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, LABELS)
    # The unfitted transformers, in which a function selects the columns.
    model[0].transformers = [("age", StandardScaler(), make_column_selector(dtype_include="number"))]
    return model


def with_a_slice_of_names() -> Any:
    columns = ColumnTransformer([("all", OneHotEncoder(handle_unknown="ignore"), ["city", "age"])])
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, LABELS)
    name, step, _ = model[0].transformers_[0]
    model[0].transformers_[0] = (name, step, slice("city", "age"))
    return model


def with_a_text_beside_a_number() -> Any:
    columns = ColumnTransformer([("words", CountVectorizer(), 0), ("age", StandardScaler(), [1])])
    rows = np.array(list(zip(CITIES, AGES, strict=True)), dtype=object)
    model = make_pipeline(columns, LogisticRegression()).fit(rows, LABELS)
    # As if fitted on a DataFrame, with the text column selected by name.
    model[0].feature_names_in_ = np.array(["city", "age"], dtype=object)
    model[0].transformers_ = [
        (name, step, "city" if name == "words" else ["age"]) for name, step, _ in model[0].transformers_
    ]
    return model


def imputed() -> Any:
    cities = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder())
    columns = ColumnTransformer([("city", cities, [0]), ("age", SimpleImputer(), [1])])
    rows = np.array(list(zip(CITIES, AGES, strict=True)), dtype=object)
    return make_pipeline(columns, LogisticRegression()).fit(rows, LABELS)


def searched() -> Any:
    model = make_pipeline(by_columns(), LogisticRegression())
    return GridSearchCV(model, {"logisticregression__C": [1.0, 2.0]}, cv=2).fit(FRAME, LABELS)


@pytest.mark.parametrize(
    "make",
    [
        nested,
        with_pandas_output,
        with_selected_columns,
        with_a_slice_of_names,
        with_a_text_beside_a_number,
        imputed,
        searched,
    ],
)
def test_a_model_of_columns_of_several_types_is_accepted_and_predicts(make: Any, tmp_path: Path) -> None:
    model = make()

    rows = [list(row.values()) for row in PEOPLE] if make is imputed else PEOPLE
    predictions = predicted(model, tmp_path, rows)

    assert inspected(model, tmp_path).task is Task.CLASSIFICATION
    assert [prediction["label"] for prediction in predictions] == ["n", "s"]
    if make is not with_pandas_output:
        table = np.array([list(row.values()) for row in PEOPLE], dtype=object) if make is imputed else None
        frame = pa.table({"city": ["Oslo", "Rome"], "age": [5, 61.5]}) if table is None else table
        # scikit-learn itself supports slices by name only for pandas DataFrames.
        if make not in (with_a_slice_of_names, with_a_text_beside_a_number):
            by_hand = model.predict_proba(frame)
            assert np.allclose([list(prediction["scores"].values()) for prediction in predictions], by_hand)


def test_a_union_of_vectorizers_takes_texts_at_any_depth(tmp_path: Path) -> None:
    union = FeatureUnion([("words", TfidfVectorizer()), ("letters", CountVectorizer(analyzer="char"))])
    texts, labels = ["good day", "bad luck"] * 10, ["up", "down"] * 10
    plain = make_pipeline(union, LogisticRegression())
    models = [
        plain.fit(texts, labels),
        GridSearchCV(plain, {"logisticregression__C": [1.0]}, cv=2).fit(texts, labels),
        VotingClassifier([("a", plain)]).fit(texts, labels),
        OneVsRestClassifier(plain).fit(texts, labels),
    ]

    for model in models:
        predictions = predicted(model, tmp_path, ["good day", {"text": "bad luck"}])
        assert [prediction["label"] for prediction in predictions] == ["up", "down"], model
        assert inspected(model, tmp_path).columns is not None


def test_other_estimators_return_outputs(tmp_path: Path) -> None:
    rows = corpus.ROWS
    clusters = make_pipeline(StandardScaler(), KMeans(3, random_state=1, n_init=1)).fit(rows)
    forest = IsolationForest(n_estimators=5, random_state=1).fit(rows)
    components = PCA(2).fit(rows)
    of_two = MultiOutputRegressor(LinearRegression()).fit(rows, rows[:, :2] * 3)
    words = CountVectorizer().fit(["a good day", "a bad day"])

    predictions = {
        model: (inspected(model, tmp_path).task, predicted(model, tmp_path, rows[:4].tolist()))
        for model in (clusters, forest, components, of_two)
    }

    assert {task for task, _ in predictions.values()} == {None}
    by_hand = clusters.predict(rows[:4])
    assert predictions[clusters][1] == [{"outputs": {"cluster": cluster}} for cluster in by_hand.tolist()]
    assert [row["outputs"]["outlier"] for row in predictions[forest][1]] == (
        forest.predict(rows[:4]) < 0
    ).tolist()
    scores = [row["outputs"]["score"] for row in predictions[forest][1]]
    assert scores == pytest.approx(forest.decision_function(rows[:4]).tolist())
    values = [row["outputs"]["values"] for row in predictions[components][1]]
    assert np.allclose(values, components.transform(rows[:4]))
    assert np.allclose([row["outputs"]["values"] for row in predictions[of_two][1]], of_two.predict(rows[:4]))
    assert predicted(words, tmp_path, ["a good day"]) == [{"outputs": {"values": [0, 1, 1]}}]


def test_a_single_output_column_is_a_value(tmp_path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [[0.0], [1.0]])

    assert predicted(model, tmp_path, [[0.5]]) == [{"value": pytest.approx(0.5)}]
    assert inspected(model, tmp_path).task is Task.REGRESSION


def test_an_elementwise_function_is_accepted(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.log), StandardScaler(), LogisticRegression())

    predictions = predicted(model.fit(corpus.ROWS, corpus.KINDS), tmp_path, corpus.ROWS[:2].tolist())

    assert [prediction["label"] for prediction in predictions] == model.predict(corpus.ROWS[:2]).astype(
        str
    ).tolist()


SEVERAL = np.column_stack([corpus.KINDS == 1, corpus.KINDS == 2]).astype(int)


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(LogisticRegression()),
        RandomForestClassifier(2),
        MLPClassifier((3,), max_iter=2),
        make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
        GridSearchCV(OneVsRestClassifier(LogisticRegression()), {"estimator__C": [1.0]}, cv=2),
    ],
    ids=["one to rest", "forest", "network", "pipeline", "search"],
)
def test_a_multioutput_classifier_is_refused_with_advice(estimator: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(corpus.ROWS, SEVERAL)

    with pytest.raises(BrokenModel, match="several outputs at once; fit and upload one model"):
        inspected(estimator, tmp_path)


def test_a_model_that_fails_on_every_row_is_refused_with_the_reason(tmp_path: Path) -> None:
    steps = [("scaler", StandardScaler().fit(corpus.ROWS)), ("model", LogisticRegression())]
    model = Pipeline(steps)
    model.steps[1][1].fit(corpus.ROWS[:, :3], corpus.KINDS)  # fewer columns than the first step returns

    with pytest.raises(
        BrokenModel, match=r"failed on every example row: ValueError: X has 4 features.*; before you save it"
    ):
        inspected(model, tmp_path)


def test_a_model_that_accepts_only_some_rows_is_accepted(tmp_path: Path) -> None:
    of_few = CategoricalNB(min_categories=2).fit([[0], [0]], [0, 1])  # a 2 is out of range

    assert inspected(of_few, tmp_path).task is Task.CLASSIFICATION


class Scripted:
    """A model with given answers."""

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)

    def predict(self, rows: Any) -> list[Any]:
        answer = next(self._answers)
        if isinstance(answer, JobError):
            raise answer
        return [answer]


def test_the_first_accepted_example_row_counts() -> None:
    fault, no = JobError("prediction_failed", "Too bad.", is_retryable=False), RowError("not_a_number", "no")
    unfit = RowError("bad_row", "unfit")

    assert probing.try_rows(Scripted(fault, no, {"value": 1.0}), [1, 2, 3]) == {"value": 1.0}
    assert probing.try_rows(Scripted(no), [1]) is None
    assert probing.try_rows(Scripted(fault, no), [1, 2]) is None
    assert probing.try_rows(Scripted(unfit), [1]) is None
    assert probing.try_rows(Scripted(), []) is None
    with pytest.raises(BrokenModel, match="failed on every example row: Too bad; before you save it"):
        probing.try_rows(Scripted(fault, unfit), [1, 2])
