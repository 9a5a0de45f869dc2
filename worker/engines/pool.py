"""The engine `pool`: children on the worker's own machine, forked by one fork server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.core.config import Settings
from worker import gpus, plugins
from worker.children.pool import HANDLERS, MAX_FILE_BYTES, MAX_SCRATCH_BYTES, ChildPool, OpenHost


@dataclass(frozen=True)
class PoolOptions:
    """What the children of a pool load, and their limits. The names are those of `ChildPool`."""

    memory_limit_bytes: int
    max_jobs_per_child: int
    max_file_bytes: int = MAX_FILE_BYTES
    max_scratch_bytes: int = MAX_SCRATCH_BYTES
    handlers: str = HANDLERS
    plugins: Sequence[str] = ()
    preload: Sequence[str] = ()
    slot_gpus: int = 0
    onnx_cuda: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the options that the settings say."""
        return cls(
            memory_limit_bytes=settings.child_memory_limit_bytes,
            max_jobs_per_child=settings.child_max_jobs,
            max_file_bytes=settings.child_max_file_bytes,
            max_scratch_bytes=settings.child_max_scratch_bytes,
            handlers=plugins.BUILT_IN_HANDLERS,
            plugins=settings.plugins,
            preload=plugins.HEAVY if settings.child_preload else (),
            slot_gpus=settings.slot_gpus,
            onnx_cuda=settings.onnx_cuda,
        )

    def pool(
        self, slots: int, open_host: OpenHost | None = None, gpus_of_slots: Sequence[str] | None = None
    ) -> ChildPool:
        """Return a pool with these options, on this machine or on a host elsewhere.

        Without `gpus_of_slots`, slots with GPUs have those that the environment of their host shows.
        """
        if gpus_of_slots is None:
            gpus_of_slots = ("",) * slots if self.slot_gpus else ()
        return ChildPool(
            slots=slots,
            memory_limit_bytes=self.memory_limit_bytes,
            max_jobs_per_child=self.max_jobs_per_child,
            max_file_bytes=self.max_file_bytes,
            max_scratch_bytes=self.max_scratch_bytes,
            handlers=self.handlers,
            plugins=self.plugins,
            preload=self.preload,
            open_host=open_host,
            gpus=gpus_of_slots,
            onnx_cuda=self.onnx_cuda,
        )


def create(settings: Settings, slots: int) -> ChildPool:
    """Return the pool of a worker with this number of slots. Raises ConfigurationError for too few GPUs."""
    return PoolOptions.from_settings(settings).pool(slots, gpus_of_slots=gpus.deal_out(settings, slots))
