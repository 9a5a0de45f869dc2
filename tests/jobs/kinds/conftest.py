"""Packages that bring kinds of their own, made as a user would make them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MakePlugin = Callable[..., str]


@pytest.fixture
def plugins_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which packages can be imported."""
    path = tmp_path / "plugins"
    path.mkdir()
    monkeypatch.syspath_prepend(path)
    return path


@pytest.fixture
def make_plugin(plugins_path: Path) -> Iterator[MakePlugin]:
    """Write a package with these modules; gives its name. It is forgotten when the test is over."""
    made: set[str] = set()

    def make_plugin(name: str, **modules: str) -> str:
        package = plugins_path / name
        package.mkdir()
        for module, source in {"__init__": "", **modules}.items():
            (package / f"{module}.py").write_text(source)
        made.add(name)
        return name

    yield make_plugin
    for module in [module for module in sys.modules if module.partition(".")[0] in made]:
        del sys.modules[module]
