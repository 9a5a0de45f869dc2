"""ONNX files that are refused, or that must not affect the process."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from app.jobs.params import ModelReference
from tests.models import files
from tests.support.processes import ROOT
from worker.runtimes.onnx import file as onnx_file
from worker.runtimes.onnx.runtime import OnnxRuntime
from worker.runtimes.runtime import BrokenModel, UnsafeModel

_PREDICT = """
import sys
from pathlib import Path
from app.jobs.params import ModelReference
from worker.runtimes.onnx.runtime import OnnxRuntime

model = OnnxRuntime().load(ModelReference("mine", 1, "onnx"), Path(sys.argv[1]))
model.predict([[[[1.0] * 3] * 2]])
"""


def refusal(folder: Path, content: bytes) -> UnsafeModel:
    with pytest.raises(UnsafeModel) as error:
        OnnxRuntime().inspect(files.written(folder, content))
    assert error.value.code == "unsafe_model"
    assert not error.value.is_retryable
    return error.value


def test_no_files_are_written_beside_the_model(tmp_path: Path) -> None:
    path = files.written(tmp_path, files.as_onnx(files.classifier()))
    OnnxRuntime().load(ModelReference("mine", 1, "onnx"), path).predict([files.FLOWERS[0].tolist()])

    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_file_cannot_set_session_options(tmp_path: Path) -> None:
    """In a process of its own, because ONNX Runtime reads the environment when it creates a session."""
    model = onnx.load_from_string(files.doubling())
    options = {"session_options": {"enable_profiling": 1, "inter_op_num_threads": 3}}
    model.metadata_props.add(key="ort_config", value=json.dumps(options))
    path = files.written(tmp_path, model.SerializeToString())

    subprocess.run(
        [sys.executable, "-c", _PREDICT, str(path)],
        env={**os.environ, "ORT_LOAD_CONFIG_FROM_MODEL": "1", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=True,
    )

    assert [left.name for left in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("build", [files.with_external_data, files.with_hidden_external_data])
@pytest.mark.parametrize(
    # The last one makes ONNX Runtime use the offset as a memory address.
    "location",
    ["../../etc/passwd", "/etc/passwd", "weights.bin", "", "*/_ORT_MEM_ADDR_/*"],
)
def test_external_data_is_refused_wherever_it_is(tmp_path: Path, build: Any, location: str) -> None:
    error = refusal(tmp_path, build(location))

    assert error.types == (f"external data {location!r}",)
    assert location in error.message


def test_operators_of_other_domains_are_refused_by_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, files.with_custom_domain()).types == ("operator com.example.Launch",)
    assert refusal(tmp_path, files.with_custom_domain("com.microsoft")).types == (
        "operator com.microsoft.Launch",
    )


def test_functions_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, files.with_functions())

    assert "function local.f0" in error.types
    assert len(error.message) < 1000


def test_a_model_with_too_many_nodes_is_refused(tmp_path: Path) -> None:
    path = files.written(tmp_path, files.doubling())

    assert len(onnx_file.read(path, max_nodes=1).graph.node) == 1
    with pytest.raises(BrokenModel, match="more than 0 nodes"):
        onnx_file.read(path, max_nodes=0)


def test_a_file_beyond_the_size_limit_is_not_read(tmp_path: Path) -> None:
    path = files.written(tmp_path, files.doubling())
    with path.open("r+b") as file:
        file.truncate(onnx_file.MAX_BYTES + 1)  # a sparse file: it takes no space
    tracemalloc.start()

    with pytest.raises(BrokenModel, match="bytes"):
        OnnxRuntime().inspect(path)

    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


GOOD = files.as_onnx(files.classifier())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x0a",
        GOOD[:-10],
        GOOD[: len(GOOD) // 2],
        GOOD.replace(b"LinearClassifier", b"LinearClassifieX"),
        b"\x00" * 100,
        b"ORTM" + GOOD,
        files.graph([], [], [files.floats("y", 1)]),
        files.graph([helper.make_node("Neg", ["x"], ["y"])], [files.floats("x")], [files.floats("y")]),
        files.graph(
            [helper.make_node("SequenceConstruct", ["x"], ["y"])],
            [files.floats("x", "n")],
            [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
        ),
    ],
    ids=[
        "nothing",
        "a version only",
        "cut off",
        "half of it",
        "an unknown operator",
        "zeros",
        "another format",
        "no inputs",
        "no dimension for rows",
        "an output that is no prediction",
    ],
)
def test_a_file_that_is_not_a_model_is_broken(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BrokenModel) as error:
        OnnxRuntime().inspect(files.written(tmp_path, content))

    assert error.value.code == "broken_model"
    assert "\n" not in error.value.message
