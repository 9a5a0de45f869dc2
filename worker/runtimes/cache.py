"""The models that a child has loaded, the ones used last."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from app.jobs.params import ModelReference
from worker.context import JobError
from worker.runtimes import runtime
from worker.runtimes.runtime import Model

MAX_MODELS: Final = 8


class ModelCache:
    """Holds loaded models. One process runs one job at a time, and versions never change: no lock, no expiry.

    The files of all cached models may have `max_bytes` together; a larger one is cached alone.
    """

    def __init__(self, *, max_models: int = MAX_MODELS, max_bytes: int = 512 * 1024 * 1024) -> None:
        self._max_models = max_models
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[ModelReference, tuple[Model, int]] = OrderedDict()

    def load(self, reference: ModelReference, path: Path | None) -> Model:
        """The model, loaded from its file if it has not been used lately.

        `path` is None for a model that is built in. Raises JobError `unknown_runtime`, UnsafeModel,
        BrokenModel.
        """
        if reference in self._loaded:
            self._loaded.move_to_end(reference)
            return self._loaded[reference][0]
        found = runtime(reference.runtime)
        if found is None:
            raise JobError("unknown_runtime", f"this worker cannot run {reference.runtime} models")
        size = 0 if path is None else path.stat().st_size
        # Before it is loaded: the old ones and the new one are not in memory together.
        self._make_room(size)
        model = found.load(reference, path)
        self._loaded[reference] = (model, size)
        return model

    def _make_room(self, size: int) -> None:
        while self._loaded and (
            len(self._loaded) >= self._max_models
            or size + sum(held for _, held in self._loaded.values()) > self._max_bytes
        ):
            self._loaded.popitem(last=False)


OF_THIS_CHILD: Final = ModelCache()
