"""Operators without required inputs, some of which crash ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from app.jobs.params import ModelReference
from app.models.versions import Task
from tests.models import files
from worker.context import JobError
from worker.runtimes.onnx.outputs import Outputs
from worker.runtimes.onnx.runtime import OnnxRuntime
from worker.runtimes.runtime import BrokenModel

REFERENCE = ModelReference(name="mine", version=1, runtime="onnx")


def joined(*inputs: str) -> bytes:
    return files.graph(
        [helper.make_node("Concat", list(inputs), ["y"], axis=1)],
        [files.floats("x", "n", 4)],
        [files.floats("y", "n", "m")],
    )


@pytest.mark.parametrize("inputs", [("x", ""), ("", "x"), ("x", "", "x")])
def test_a_node_without_a_variadic_input_is_refused(inputs: tuple[str, ...], tmp_path: Path) -> None:
    path = files.written(tmp_path, joined(*inputs))

    with pytest.raises(BrokenModel, match="a node Concat lacks its required input inputs"):
        OnnxRuntime().inspect(path)


def test_a_node_in_a_subgraph_is_checked_too(tmp_path: Path) -> None:
    def branch(name: str, *inputs: str) -> object:
        node = helper.make_node("Concat", list(inputs), [name], axis=1)
        return helper.make_graph([node], name, [], [files.floats(name, "n", "m")])

    choice = helper.make_node(
        "If", ["is"], ["y"], then_branch=branch("a", "x", "x"), else_branch=branch("b", "x", "")
    )
    yes = numpy_helper.from_array(np.array(True), "is")
    content = files.graph(
        [choice], [files.floats("x", "n", 4)], [files.floats("y", "n", "m")], initializers=[yes]
    )

    with pytest.raises(BrokenModel, match="lacks its required input"):
        OnnxRuntime().inspect(files.written(tmp_path, content))


def test_an_optional_input_may_be_left_out(tmp_path: Path) -> None:
    most = numpy_helper.from_array(np.array(1.5, np.float32), "most")
    content = files.graph(
        [helper.make_node("Clip", ["x", "", "most"], ["y"])],
        [files.floats("x", "n", 2)],
        [files.floats("y", "n", 2)],
        initializers=[most],
    )

    model = OnnxRuntime().load(REFERENCE, files.written(tmp_path, content))

    assert model.predict([[1.0, 2.0]]) == [{"outputs": {"y": [1.0, 1.5]}}]


def test_outputs_of_another_shape_than_declared_are_an_error() -> None:
    declared = Outputs(("label", "scores"), Task.CLASSIFICATION, ("a", "b"))

    with pytest.raises(JobError, match="other shapes than the file declares"):
        declared.predictions([np.array([0, 1]), [0.5, 0.5]], 2)  # neither a matrix nor maps


def test_scores_of_fewer_classes_than_declared_are_raw_outputs() -> None:
    declared = Outputs(("label", "scores"), Task.CLASSIFICATION, ("a", "b"))

    predictions = declared.predictions([np.array([0, 1]), np.array([0.5, 0.25])], 2)

    assert predictions == [
        {"outputs": {"label": 0, "scores": 0.5}},
        {"outputs": {"label": 1, "scores": 0.25}},
    ]


@pytest.mark.parametrize("count", [2**31 - 1, 0, -1, 3])
def test_a_scan_over_missing_inputs_is_refused(count: int, tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["out"])],
        "body",
        [files.floats("row", 4)],
        [files.floats("out", 4)],
    )
    content = files.graph(
        [helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=count)],
        [files.floats("x", "n", 4)],
        [files.floats("y", "n", 4)],
    )

    with pytest.raises(BrokenModel):
        OnnxRuntime().inspect(files.written(tmp_path, content))
