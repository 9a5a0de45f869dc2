"""Where ONNX Runtime runs a model: on the CPU, or on the GPUs of the slot."""

import os
import warnings
from pathlib import Path
from typing import Final

import onnxruntime as ort

from worker.context import ONNX_CUDA, JobError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"


class GpuUnavailable(JobError):
    """The model was to run on a GPU, which did not work. Another attempt may get another GPU."""

    def __init__(self) -> None:
        super().__init__(
            "gpu_unavailable",
            "ONNX Runtime cannot use the GPU of this slot, and a model would run on the CPU instead; see the"
            " drivers of the worker's machine",
            is_retryable=True,
        )


def open_session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Open a model. Raises GpuUnavailable, and whatever ONNX Runtime raises for the file."""
    if os.environ.get(ONNX_CUDA) != "true":
        return ort.InferenceSession(str(path), options, providers=[CPU])
    with warnings.catch_warnings():
        # Without a usable GPU, ONNX Runtime warns and takes the CPU. Operators without a CUDA kernel run
        # there in any case.
        warnings.simplefilter("ignore")
        session = ort.InferenceSession(str(path), options, providers=[CUDA, CPU])
    if CUDA not in session.get_providers():
        raise GpuUnavailable
    return session
