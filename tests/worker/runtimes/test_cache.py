"""The LRU cache of loaded models."""

from pathlib import Path

import pytest

from app.core import ids
from app.jobs.params import ModelReference
from tests.models import files
from worker.runtimes.cache import MAX_MODELS, ModelCache
from worker.runtimes.runtime import BrokenModel


def reference() -> ModelReference:
    return ModelReference("mine", 1, "onnx", ids.new_id())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return files.written(tmp_path, files.doubling())


def test_a_version_is_loaded_once_and_other_versions_separately(path: Path) -> None:
    one, other = reference(), reference()
    cache = ModelCache()

    assert cache.load(one, path) is cache.load(one, path)
    assert cache.load(one, path) is not cache.load(other, path)


def test_the_least_recently_used_model_is_evicted(path: Path) -> None:
    cache = ModelCache()
    references = [reference() for _ in range(MAX_MODELS)]
    loaded = [cache.load(each, path) for each in references]
    cache.load(references[0], path)

    cache.load(reference(), path)

    assert cache.load(references[0], path) is loaded[0]
    assert cache.load(references[2], path) is loaded[2]
    assert cache.load(references[1], path) is not loaded[1]


def test_large_models_evict_more(path: Path) -> None:
    cache = ModelCache(max_bytes=int(2.5 * path.stat().st_size))
    references = [reference() for _ in range(3)]
    loaded = [cache.load(each, path) for each in references]

    assert cache.load(references[2], path) is loaded[2]
    assert cache.load(references[1], path) is loaded[1]
    assert cache.load(references[0], path) is not loaded[0]


def test_a_model_beyond_the_byte_limit_is_cached_alone(path: Path) -> None:
    cache = ModelCache(max_bytes=1)
    only = reference()

    assert cache.load(only, path) is cache.load(only, path)


def test_a_model_that_fails_to_load_is_not_cached(tmp_path: Path) -> None:
    cache, wanted = ModelCache(), reference()
    with pytest.raises(BrokenModel):
        cache.load(wanted, files.written(tmp_path, b"nothing"))

    assert cache.load(wanted, files.written(tmp_path, files.doubling())) is not None
