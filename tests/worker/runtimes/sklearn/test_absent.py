"""While a model predicts, pandas is not searched for; imports are otherwise as always."""

import importlib
import importlib.util
import sys
from typing import Any

import pytest

from worker.runtimes.sklearn.absent import without_pandas


class Searches:
    """A finder that finds nothing, and notes what is searched for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        self.names.append(name)


def test_pandas_is_not_searched_for_and_its_import_fails_as_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = Searches()
    monkeypatch.setattr(sys, "meta_path", [searches, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "pandas", raising=False)

    with pytest.raises(ModuleNotFoundError) as other:
        importlib.import_module("pandaz")
    with without_pandas(is_installed=False), pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module("pandas")

    assert searches.names == ["pandaz"]
    assert str(missing.value) == str(other.value).replace("pandaz", "pandas")
    assert (missing.value.name, other.value.name) == ("pandas", "pandaz")


def test_an_installed_pandas_is_searched_for() -> None:
    before = list(sys.meta_path)

    with without_pandas(is_installed=True):
        assert sys.meta_path == before


def test_other_modules_are_found() -> None:
    sys.modules.pop("this", None)
    with without_pandas(is_installed=False):
        assert importlib.util.find_spec("this") is not None


def test_imports_are_as_before_afterwards() -> None:
    before = list(sys.meta_path)

    with pytest.raises(KeyError), without_pandas(is_installed=False), without_pandas(is_installed=False):
        raise KeyError

    assert sys.meta_path == before
