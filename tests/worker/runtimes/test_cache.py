"""Models that a child has loaded stay loaded, as long as there is room for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core import ids
from app.jobs.params import ModelReference
from tests.models import files
from worker.runtimes import cache
from worker.runtimes.runtime import BrokenModel, Model


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    cache._loaded.clear()
    yield
    cache._loaded.clear()


def reference() -> ModelReference:
    return ModelReference("mine", 1, "onnx", ids.new_id())


def load(wanted: ModelReference, path: Path) -> Model:
    return cache.load(wanted, path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return files.written(tmp_path, files.doubling())


def test_a_version_is_loaded_once_and_another_version_apart(path: Path) -> None:
    one, other = reference(), reference()

    assert load(one, path) is load(one, path)
    assert load(one, path) is not load(other, path)


def test_the_one_used_last_the_longest_ago_makes_room(path: Path) -> None:
    references = [reference() for _ in range(cache.MAX_MODELS)]
    loaded = [load(each, path) for each in references]
    load(references[0], path)

    load(reference(), path)

    assert load(references[0], path) is loaded[0]
    assert load(references[2], path) is loaded[2]
    assert load(references[1], path) is not loaded[1]


def test_large_models_leave_room_for_fewer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", int(2.5 * path.stat().st_size))
    references = [reference() for _ in range(3)]
    loaded = [load(each, path) for each in references]

    assert load(references[2], path) is loaded[2]
    assert load(references[1], path) is loaded[1]
    assert load(references[0], path) is not loaded[0]


def test_a_model_that_is_too_large_to_be_kept_with_others_is_kept_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 1)
    only = reference()

    assert load(only, path) is load(only, path)


def test_what_cannot_be_loaded_is_not_kept(tmp_path: Path) -> None:
    wanted = reference()
    with pytest.raises(BrokenModel):
        load(wanted, files.written(tmp_path, b"nothing"))

    assert load(wanted, files.written(tmp_path, files.doubling())) is not None
