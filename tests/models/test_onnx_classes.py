"""The names of classes that an upload adds to the file of an ONNX model."""

import json
from pathlib import Path

import onnx

from app.models import formats, onnx_classes
from tests.models import files


def test_the_classes_are_written_as_onnx_itself_writes_metadata(tmp_path: Path) -> None:
    classes = [f"class {place} ä" for place in range(200)]  # a length of more than one byte
    path = files.written(tmp_path, files.doubling())

    onnx_classes.write(path, classes)

    model = onnx.load(path)
    assert [(entry.key, json.loads(entry.value)) for entry in model.metadata_props] == [("classes", classes)]
    assert model.graph == onnx.load_from_string(files.doubling()).graph
    assert formats.runtime_of(path) == "onnx"


def test_the_names_that_were_written_last_count(tmp_path: Path) -> None:
    path = files.written(tmp_path, files.doubling())

    onnx_classes.write(path, ["a", "b"])
    onnx_classes.write(path, ["c", "d"])

    written = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(written["classes"]) == ["c", "d"]
