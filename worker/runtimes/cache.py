"""An LRU cache of the models that a child process has loaded."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from app.jobs.params import ModelReference
from worker.context import JobError
from worker.runtimes import runtime
from worker.runtimes.runtime import Model

MAX_MODELS: Final = 8


class ModelCache:
    """Caches loaded models. Needs no lock, since a child runs one job at a time, and no expiry.

    The files of all cached models have at most `max_bytes` together. A model with a larger file is cached
    alone.
    """

    def __init__(self, *, max_models: int = MAX_MODELS, max_bytes: int = 512 * 1024 * 1024) -> None:
        self._max_models = max_models
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[ModelReference, tuple[Model, int]] = OrderedDict()

    def __contains__(self, reference: ModelReference) -> bool:
        return reference in self._loaded

    def load(self, reference: ModelReference, path: Path | None) -> Model:
        """Return a model, loaded from its file unless it is cached. `path` is None for a built-in model.

        Raises JobError `unknown_runtime`, UnsafeModel, BrokenModel.
        """
        if reference in self._loaded:
            self._loaded.move_to_end(reference)
            return self._loaded[reference][0]
        model_runtime = runtime(reference.runtime)
        if model_runtime is None:
            raise JobError("unknown_runtime", f"this worker has no runtime {reference.runtime!r}")
        size = 0 if path is None else path.stat().st_size
        # Evict before loading, so that old and new models are not in memory together.
        self._evict(size)
        model = model_runtime.load(reference, path)
        self._loaded[reference] = (model, size)
        return model

    def _evict(self, size: int) -> None:
        while self._loaded and (
            len(self._loaded) >= self._max_models
            or size + sum(cached for _, cached in self._loaded.values()) > self._max_bytes
        ):
            self._loaded.popitem(last=False)


CHILD_CACHE: Final = ModelCache()
"""The cache of this process."""
