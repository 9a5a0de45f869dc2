"""The models that this child has loaded, the ones used last."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from app.jobs.params import ModelReference
from worker.context import JobError
from worker.runtimes import runtime
from worker.runtimes.runtime import Model

MAX_MODELS: Final = 8

MAX_BYTES: Final = 512 * 1024 * 1024
"""So large may the files of all cached models be together; a larger one is cached alone."""

# One process runs one job at a time, and a version of a model never changes: no lock, no expiry.
_loaded: Final[OrderedDict[ModelReference, tuple[Model, int]]] = OrderedDict()


def load(reference: ModelReference, path: Path | None) -> Model:
    """The model, loaded from its file if this child has not used it lately.

    `path` is None for a model that is built in. Raises JobError `unknown_runtime`, UnsafeModel, BrokenModel.
    """
    if reference in _loaded:
        _loaded.move_to_end(reference)
        return _loaded[reference][0]
    found = runtime(reference.runtime)
    if found is None:
        raise JobError("unknown_runtime", f"this worker cannot run {reference.runtime} models")
    size = 0 if path is None else path.stat().st_size
    # Before it is loaded: the old ones and the new one are not in memory together.
    _make_room(size)
    model = found.load(reference, path)
    _loaded[reference] = (model, size)
    return model


def _make_room(size: int) -> None:
    while _loaded and (
        len(_loaded) >= MAX_MODELS or size + sum(held for _, held in _loaded.values()) > MAX_BYTES
    ):
        _loaded.popitem(last=False)
