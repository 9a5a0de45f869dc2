"""GPUs are dealt out to slots, and a worker that could not use them does not start."""

from pathlib import Path

import pytest

from app.core.config import Settings, load_settings
from app.core.errors import ConfigurationError
from tests.support import processes
from worker import gpus


def settings(**more: object) -> Settings:
    return load_settings(database_url="postgresql://x/x", redis_url="redis://x", **more)


@pytest.mark.parametrize(
    ("slot_gpus", "named", "slots", "dealt"),
    [
        (0, "", 3, ()),
        (1, "", 3, ("0", "1", "2")),
        (2, "", 2, ("0,1", "2,3")),
        (1, "3,1", 2, ("3", "1")),
        (1, "0,0", 2, ("0", "0")),
        (2, "GPU-3f1c, MIG-77/1/0,2,9", 1, ("GPU-3f1c,MIG-77/1/0",)),
    ],
)
def test_each_slot_gets_its_share(slot_gpus: int, named: str, slots: int, dealt: tuple[str, ...]) -> None:
    assert gpus.deal_out(settings(slot_gpus=slot_gpus, worker_gpus=named), slots) == dealt


@pytest.mark.parametrize(
    ("slot_gpus", "named", "message"),
    [
        (2, "0,1,2", "2 slots with 2 GPUs each need 4, but it names 3"),
        (0, "0", "because SLOT_GPUS is 0"),
    ],
)
def test_gpus_that_do_not_fit_the_slots_are_refused(slot_gpus: int, named: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gpus.deal_out(settings(slot_gpus=slot_gpus, worker_gpus=named), 2)


@pytest.mark.parametrize("named", ["0;1", "$(nvidia-smi)", "0,a b"])
def test_a_name_that_is_no_gpu_is_refused(named: str) -> None:
    with pytest.raises(ConfigurationError, match="WORKER_GPUS"):
        settings(slot_gpus=1, worker_gpus=named)


async def test_onnx_cuda_is_refused_without_gpus_and_without_its_provider() -> None:
    """The requirements have onnxruntime, which is built for the CPU."""
    await gpus.ensure_usable(settings(slot_gpus=1))
    with pytest.raises(ConfigurationError, match="ONNX_CUDA: the slots have no GPU; set SLOT_GPUS"):
        await gpus.ensure_usable(settings(onnx_cuda=True))
    with pytest.raises(
        ConfigurationError, match=r"has no CUDAExecutionProvider, only .*CPUExecutionProvider"
    ):
        await gpus.ensure_usable(settings(onnx_cuda=True, slot_gpus=1))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ONNX_CUDA": "true", "SLOT_GPUS": "1"}, "ONNX_CUDA: ONNX Runtime has no CUDAExecutionProvider"),
        ({"SLOT_GPUS": "4", "WORKER_GPUS": "0"}, "WORKER_GPUS: "),
    ],
)
async def test_a_worker_whose_gpus_cannot_be_used_exits_with_one_line(
    environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    env = processes.environment(settings(), **environment)
    async with processes.program("worker", env=env, log_path=tmp_path / "log") as worker:
        assert await worker.wait() == 1
        *_, last = worker.log.splitlines()

    assert message in last
