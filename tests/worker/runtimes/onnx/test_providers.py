"""A model that was to run on a GPU never runs on the CPU in silence."""

from pathlib import Path

import pytest

from app.jobs.params import ModelReference
from tests.models import files
from worker.context import ONNX_CUDA
from worker.runtimes.onnx.providers import GpuUnavailable
from worker.runtimes.onnx.runtime import OnnxModel, OnnxRuntime


def load(folder: Path) -> OnnxModel:
    path = files.written(folder, files.as_onnx(files.classifier()))
    return OnnxRuntime().load(ModelReference("mine", 1, "onnx"), path)


@pytest.mark.parametrize("said", [None, "false"])
def test_models_run_on_the_cpu_unless_told_otherwise(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said is not None:
        monkeypatch.setenv(ONNX_CUDA, said)

    assert load(tmp_path).predict([files.FLOWERS[0].tolist()])


def test_a_model_that_cannot_run_on_the_gpu_fails_and_may_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requirements have onnxruntime, which is built for the CPU."""
    monkeypatch.setenv(ONNX_CUDA, "true")

    with pytest.raises(GpuUnavailable) as raised:
        load(tmp_path)

    assert (raised.value.code, raised.value.is_retryable) == ("gpu_unavailable", True)
