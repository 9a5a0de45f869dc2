"""The GPUs of a worker: those of each slot, and whether ONNX Runtime can use them."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Final

from app.core import hardening
from app.core.config import Settings
from app.core.errors import ConfigurationError

CUDA: Final = "CUDAExecutionProvider"
"""What ONNX Runtime calls running models on NVIDIA GPUs."""

PROBE_SECONDS: Final = 60.0
"""Timeout for importing ONNX Runtime, with a cold disk cache."""

# The worker itself never imports an ML library.
_PROBE: Final = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"


def deal_out(settings: Settings, slots: int) -> tuple[str, ...]:
    """Return the GPUs of each slot as a value of CUDA_VISIBLE_DEVICES; none if slots have no GPU.

    A GPU that is named twice is shared by two slots. Raises ConfigurationError if there are too few.
    """
    per_slot = settings.slot_gpus
    if not per_slot:
        if settings.worker_gpus:
            raise ConfigurationError("WORKER_GPUS: no slot would use them, because SLOT_GPUS is 0; set it")
        return ()
    needed = slots * per_slot
    found = settings.worker_gpus or tuple(map(str, range(needed)))
    if len(found) < needed:
        raise ConfigurationError(
            f"WORKER_GPUS: {slots} slots with {per_slot} GPUs each need {needed}, but it names {len(found)};"
            " name more, or lower WORKER_SLOTS, WORKER_PREDICT_SLOTS or SLOT_GPUS"
        )
    return tuple(",".join(found[first : first + per_slot]) for first in range(0, needed, per_slot))


async def ensure_usable(settings: Settings) -> None:
    """Check that ONNX Runtime has been built for GPUs if it shall use them. Raises ConfigurationError."""
    if not settings.onnx_cuda:
        return
    if not settings.slot_gpus:
        raise ConfigurationError("ONNX_CUDA: the slots have no GPU; set SLOT_GPUS, or leave ONNX_CUDA out")
    providers = await _providers()
    if CUDA not in providers:
        raise ConfigurationError(
            f"ONNX_CUDA: ONNX Runtime has no {CUDA}, only {', '.join(providers) or 'nothing'}; install"
            " onnxruntime-gpu in the place of onnxruntime, or leave ONNX_CUDA out"
        )


async def _providers() -> tuple[str, ...]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROBE),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env=hardening.clean_environment(),
    )
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ()
    return tuple(json.loads(output)) if process.returncode == 0 else ()
