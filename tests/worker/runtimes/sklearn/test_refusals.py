"""scikit-learn files that are refused."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from app.models.versions import Task
from tests.worker.runtimes.sklearn.skops_files import RUNTIME, iris, kinds_of_iris, load, rows_of_iris, saved
from worker.context import JobError
from worker.runtimes.runtime import BrokenModel, UnsafeModel


def rewritten(path: Path, change: Any) -> Path:
    """Return a file with its schema changed, as an attacker would."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["schema.json"] = json.dumps(change(json.loads(members["schema.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class Stranger(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A class outside scikit-learn."""

    classes_ = np.array([0, 1])


def test_an_unknown_type_is_refused_by_name(path: Path) -> None:
    with pytest.raises(UnsafeModel, match=r"sklearn\.test_refusals\.Stranger") as error:
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
