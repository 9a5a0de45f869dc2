"""scikit-learn models: trained here, uploaded, and refused."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from app.jobs.algorithms.catalogue import ALGORITHMS, Name
from app.jobs.params import ModelReference
from app.models.versions import InputColumn, Task
from tests.worker.training import data
from worker.context import JobError, RowError
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn.model import SklearnModel
from worker.runtimes.sklearn.runtime import SklearnRuntime
from worker.training import features, table

REFERENCE = ModelReference(name="mine", version=1, runtime="sklearn")
RUNTIME = SklearnRuntime()
CLASSIFIERS = [a.name for a in ALGORITHMS.values() if Task.CLASSIFICATION in a.tasks]

iris = load_iris(return_X_y=True)
rows_of_iris, kinds_of_iris = iris[0].tolist(), iris[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.skops"


def saved(estimator: Any, path: Path) -> Path:
    skops.io.dump(estimator, path)
    return path


def load(path: Path) -> SklearnModel:
    return RUNTIME.load(REFERENCE, path)


def rewritten(path: Path, change: Any) -> Path:
    """Return a file with its schema changed, as an attacker would."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["schema.json"] = json.dumps(change(json.loads(members["schema.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# Trained here


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_objects_lists_and_the_plain_pipeline_give_the_same_predictions(name: Name, path: Path) -> None:
    customers = data.customers(120)
    training, _ = data.trained(
        table.to_arrow(customers), path, algorithm=name, epochs=2, params={"patience": 0}
    )
    names = [column.name for column in training.plan.inputs]

    from_objects = load(path).predict(customers)
    from_lists = load(path).predict([[row[name] for name in names] for row in customers])
    every_row = np.arange(len(customers))
    by_hand = skops.io.load(path, trusted=[*skops.io.get_untrusted_types(file=path)])
    predictions = by_hand.predict(
        features.pipeline_rows(training.plan.inputs, training.plan.cells, every_row)
    )

    assert from_objects == from_lists
    assert [prediction["label"] for prediction in from_objects] == predictions.tolist()
    assert all(
        prediction["scores"][prediction["label"]] == prediction["score"] for prediction in from_objects
    )


def test_a_trained_model_has_a_signature(path: Path) -> None:
    data.trained(table.to_arrow(data.customers(120)), path, algorithm=Name.MULTINOMIAL_NB)

    signature = RUNTIME.inspect(path)

    assert signature.task is Task.CLASSIFICATION
    assert signature.classes == ("leaves", "stays")
    assert signature.columns == (
        InputColumn("age", "number"),
        InputColumn("city", "category"),
        InputColumn("member", "any"),
        InputColumn("since", "any"),
        InputColumn("note", "text"),
        InputColumn("spent", "number"),
    )
    assert set(signature.library_versions) == {"scikit-learn", "skops"}


def test_a_row_that_a_model_cannot_take_gets_an_error(path: Path) -> None:
    customers = data.customers(120)
    data.trained(table.to_arrow(customers), path, algorithm=Name.LOGISTIC_REGRESSION, epochs=1)
    good = customers[0]

    predictions = load(path).predict(
        [
            good,
            {**good, "age": "old"},
            {"age": 3},
            [1, 2],
            5,
            {**good, "since": "soon"},
            {**good, "city": [1]},
            good,
        ]
    )

    assert predictions[0] == predictions[-1]
    assert [error.message for error in predictions[1:-1]] == [
        "'age': 'old' is not a number",
        "the row has no 'city'; send null for a missing value",
        "the row has 2 values; the model takes 6",
        "the row is 5, not an object or a list",
        "'since': 'soon' is not a date (ISO 8601)",
        "'city': [1] is not a category",
    ]
    assert {error.code for error in predictions[1:-1]} == {"bad_row"}


def test_missing_values_and_new_categories_are_not_errors(path: Path) -> None:
    customers = data.customers(120)
    data.trained(
        table.to_arrow(customers), path, algorithm=Name.RANDOM_FOREST, epochs=1, params={"n_estimators": 5}
    )

    predictions = load(path).predict(
        [dict.fromkeys(customers[0]), {**customers[0], "city": "Atlantis", "age": "41", "member": "true"}]
    )

    assert all("label" in prediction for prediction in predictions)


def test_a_model_of_one_text_takes_texts(path: Path) -> None:
    data.trained(table.to_arrow(data.customers(120)), path, features=["note"], epochs=2)

    predictions = load(path).predict(
        ["great fine quick", {"note": "bad slow broken"}, ["bad broken"], {"text": "x"}, None]
    )

    assert [prediction["label"] for prediction in predictions[:3]] == ["stays", "leaves", "leaves"]
    assert [type(error) for error in predictions[3:]] == [RowError, RowError]


def test_a_regressor_returns_values(path: Path) -> None:
    data.trained(data.diabetes(), path)

    (prediction,) = load(path).predict([load_diabetes().data[0].tolist()])

    assert 100 < prediction["value"] < 300
    assert RUNTIME.inspect(path).task is Task.REGRESSION


# Uploaded


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute", n_jobs=-1)),
        RandomForestClassifier(n_estimators=5),
        HistGradientBoostingClassifier(max_iter=3),
        DecisionTreeClassifier(),
        SVC(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_uploaded_classifier_predicts_like_the_original(estimator: Any, path: Path) -> None:
    estimator.fit(*iris)

    predictions = load(saved(estimator, path)).predict(rows_of_iris)

    assert [prediction["label"] for prediction in predictions] == [
        str(kind) for kind in estimator.predict(iris[0])
    ]
    assert RUNTIME.inspect(path).columns == tuple(InputColumn(f"x{place}", "number") for place in range(4))
    assert RUNTIME.inspect(path).classes == ("0", "1", "2")


def test_a_model_with_a_vectorizer_takes_texts(path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good fine", "bad"], ["up", "down"])

    predictions = load(saved(model, path)).predict(["good", {"text": "bad"}])

    assert [prediction["label"] for prediction in predictions] == ["up", "down"]
    assert RUNTIME.inspect(path).columns == (InputColumn("text", "text"),)


def test_a_model_fitted_on_names_takes_objects(path: Path) -> None:
    kinds = ColumnTransformer([("kind", OneHotEncoder(), ["kind"]), ("size", StandardScaler(), ["size"])])
    frame = pa.table({"size": [1.0, 2.0, 3.0, 4.0], "unused": [0, 0, 0, 0], "kind": ["a", "b", "a", "b"]})
    model = make_pipeline(kinds, LinearRegression()).fit(frame, [1.0, 12.0, 3.0, 14.0])

    predictions = load(saved(model, path)).predict(
        [{"kind": "a", "size": 2.0, "unused": None, "more": 1}, [2.0, 0, "b"]]
    )

    assert [prediction["value"] for prediction in predictions] == pytest.approx([2.0, 12.0])
    assert [column.name for column in RUNTIME.inspect(path).columns or ()] == ["size", "unused", "kind"]


def test_a_failure_of_an_uploaded_model_raises_prediction_failed(path: Path) -> None:
    model = load(saved(LogisticRegression(max_iter=500).fit(*iris), path))

    predictions = model.predict([rows_of_iris[0], ["a", 1, 2, 3]])

    assert "label" in predictions[0]
    assert predictions[1] == RowError("bad_row", "'x0': 'a' is not a number")


def test_a_value_of_nan_is_an_error_of_its_row(path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    model.coef_ = np.array([1e308])

    predictions = load(saved(model, path)).predict([[1.0], [1e300]])

    assert "value" in predictions[0]
    assert predictions[1].code == "not_a_number"


# Refused


class Stranger(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A class outside scikit-learn."""

    classes_ = np.array([0, 1])


def test_an_unknown_type_is_refused_by_name(path: Path) -> None:
    with pytest.raises(UnsafeModel, match=r"sklearn\.test_runtime\.Stranger") as error:
        RUNTIME.inspect(saved(Stranger(), path))

    assert error.value.code == "unsafe_model"
    assert not error.value.is_retryable


def test_a_function_is_refused_by_name(path: Path) -> None:
    model = make_pipeline(FunctionTransformer(func=np.load), LogisticRegression())

    with pytest.raises(UnsafeModel, match=r"numpy.*load"):
        RUNTIME.inspect(saved(model, path))


def test_a_partial_of_a_function_is_refused_by_the_function(path: Path) -> None:
    classifier = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0])
    saved(classifier.fit(np.array([[place % 3, place] for place in range(60)]), [0, 1] * 30), path)
    assert RUNTIME.inspect(path).task is Task.CLASSIFICATION

    def run_a_program(schema: Any) -> Any:
        return json.loads(
            json.dumps(schema)
            .replace('"__class__": "check_array"', '"__class__": "system"')
            .replace('"__module__": "sklearn.utils.validation"', '"__module__": "os"')
        )

    with pytest.raises(UnsafeModel, match=r"os\.system"):
        RUNTIME.inspect(rewritten(path, run_a_program))


@pytest.mark.parametrize("place", ["filename", "file"])
def test_a_model_that_reads_files_is_refused(place: str, path: Path) -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["a secret", "no secret"], [0, 1])
    model[0].input = place

    with pytest.raises(UnsafeModel, match="reads files named by its rows"):
        RUNTIME.inspect(saved(model, path))


def test_a_pickle_is_refused_and_not_executed(path: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(mark).replace(" ", "\\ ").encode() + b"'\ntR.")

    with pytest.raises(BrokenModel, match="not a skops file"):
        RUNTIME.inspect(path)

    assert not mark.exists()


def test_a_zip_bomb_is_refused_before_decompression(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        with archive.open("zeros.npy", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(1024 * 1024))

    with pytest.raises(BrokenModel, match="would decompress to 3145728"):
        RUNTIME.inspect(path)


def test_a_member_read_repeatedly_counts_each_time(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps({"content": [{"file": "a.bin"}] * 1000}))
        archive.writestr("a.bin", bytes(1024 * 1024))

    with pytest.raises(BrokenModel, match="would decompress to"):
        RUNTIME.inspect(path)


def test_a_nested_zip_is_measured_too(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", bytes(64 * 1024 * 1024))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps({"file": "a.npz"}))
        archive.writestr("a.npz", inner.getvalue())

    with pytest.raises(BrokenModel, match="would decompress to"):
        RUNTIME.inspect(path)


@pytest.mark.parametrize(
    "schema", [b"", b"[]", b"{", b"[" * 100_000, b'{"a":' * 1000 + b"1" + b"}" * 1000, b'{"protocol": 2}']
)
def test_a_malformed_schema_is_refused(schema: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", schema)

    with pytest.raises(BrokenModel):
        RUNTIME.inspect(path)


def test_a_schema_nested_deeper_than_any_model_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", b'{"a":' * 201 + b"{}" + b"}" * 201)

    with pytest.raises(BrokenModel, match="nested deeper than 200"):
        RUNTIME.inspect(path)


def test_a_refusal_names_every_type_at_once_wherever_it_is(path: Path) -> None:
    nodes = [{"__loader__": "ObjectNode", "__module__": "os", "__class__": name} for name in ("a", "b", "c")]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps({"content": [nodes[:2]], "more": {"inner": nodes[2]}}))

    with pytest.raises(UnsafeModel) as refused:
        RUNTIME.inspect(path)

    assert refused.value.types == ("os.a", "os.b", "os.c")


def test_a_flipped_byte_is_noticed(path: Path) -> None:
    content = bytearray(saved(LogisticRegression(max_iter=500).fit(*iris), path).read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(JobError):
        RUNTIME.inspect(path)


COMPRESSIONS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_damaged_file_is_refused_however_it_is_compressed(compression: int, path: Path) -> None:
    skops.io.dump(LinearRegression().fit(rows_of_iris, kinds_of_iris), path, compression=compression)
    good = path.read_bytes()
    refused = 0
    for position in range(0, len(good), len(good) // 100):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        for content in (damaged, good[:position]):
            path.write_bytes(content)
            try:
                RUNTIME.inspect(path)  # damage to a date or a comment does not change the model
            except (BrokenModel, UnsafeModel):
                refused += 1

    assert refused > 100


@pytest.mark.parametrize(
    ("offset", "written", "message"),
    [
        (20, struct.pack("<2L", 5000, 5000), "truncated"),  # it claims more bytes than the file has
        (46, b"\xff", "codec"),  # its name is not UTF-8, contrary to its flag
    ],
)
def test_a_forged_list_of_members_is_refused(offset: int, written: bytes, message: str, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8 : entry + 10] = struct.pack("<H", 0x800)
    content[entry + offset : entry + offset + len(written)] = written
    path.write_bytes(content)

    with pytest.raises(BrokenModel, match=message):
        RUNTIME.inspect(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "it is not fitted"),
        (StandardScaler(), "it is not fitted"),
        (Pipeline([]), "a Pipeline can neither predict nor transform"),
        ([1, 2], "a list can neither predict nor transform"),
        (RandomForestClassifier(2).fit(iris[0], np.column_stack([iris[1]] * 2)), "several outputs at once"),
    ],
)
def test_an_object_that_cannot_predict_is_refused(model: Any, message: str, path: Path) -> None:
    with pytest.raises(BrokenModel, match=message):
        RUNTIME.inspect(saved(model, path))


def tampered(model: Any, **arrays: Any) -> Any:
    """A forest with a tree whose branches lead beyond its nodes, which scikit-learn would follow."""
    tree = model.estimators_[0].tree_
    _, args, state = tree.__reduce__()
    nodes = state["nodes"].copy()
    for name, value in arrays.items():
        nodes[name][0] = value
    changed = type(tree)(*args)
    changed.__setstate__({**state, "nodes": nodes})
    model.estimators_[0].tree_ = changed
    return model


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"left_child": 10_000}, "branch to an invalid node"),
        ({"right_child": -7}, "branch to an invalid node"),
        ({"left_child": 0}, "branch to an invalid node"),
        ({"feature": 1_000_000}, "a column it does not have"),
        ({"feature": -5}, "a column it does not have"),
    ],
)
def test_a_tree_with_branches_beyond_its_nodes_is_refused(
    arrays: dict[str, int], message: str, path: Path
) -> None:
    model = RandomForestClassifier(2).fit(*iris)

    with pytest.raises(BrokenModel, match=message):
        load(saved(tampered(model, **arrays), path))


def test_a_forest_with_trees_for_more_columns_is_refused(path: Path) -> None:
    model = RandomForestClassifier(2).fit(*iris)
    model.n_features_in_ = 2

    with pytest.raises(BrokenModel, match="another number of columns"):
        load(saved(model, path))


@pytest.mark.parametrize(
    ("field", "value"), [("left", 9999), ("feature_idx", 9999), ("right", 0), ("is_categorical", 1)]
)
def test_a_boosted_tree_with_branches_beyond_its_nodes_is_refused(field: str, value: int, path: Path) -> None:
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5).fit(*iris)
    model._predictors[0][0].nodes[field][0] = value

    with pytest.raises(BrokenModel):
        load(saved(model, path))


def test_metadata_of_another_model_is_ignored(path: Path) -> None:
    saved(LogisticRegression(max_iter=500).fit(*iris), path)
    note = {"task": "classification", "columns": [{"name": "a", "content": "text", "type": "text"}]}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("headrace.json", json.dumps(note))

    assert [column.name for column in RUNTIME.inspect(path).columns or ()] == ["x0", "x1", "x2", "x3"]
