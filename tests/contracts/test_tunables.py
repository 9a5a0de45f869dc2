"""Tests pass other values as arguments; no test changes a constant of the product."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
OURS = frozenset({"app", "worker"})
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


def patched(source: str) -> list[str]:
    """Constants of the product that this source changes, by `setattr` or by assignment."""
    tree = ast.parse(source)
    ours = set(_imported(tree))
    return [
        name for node in ast.walk(tree) for name, owner in _changed(node) if owner.split(".", 1)[0] in ours
    ]


def _imported(tree: ast.AST) -> Iterator[str]:
    yield from OURS
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.asname or "" for name in names if name.name.split(".", 1)[0] in OURS)
            case ast.ImportFrom(module=str(module), names=names) if module.split(".", 1)[0] in OURS:
                yield from (name.asname or name.name for name in names)


def _changed(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Each constant that this node changes, with its owner."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="setattr" | "delattr") | ast.Name(id="setattr" | "delattr"), args=args
        ):
            match args:
                case [ast.Constant(value=str(path)), *_]:
                    owner, _, name = path.rpartition(".")
                case [owner_node, ast.Constant(value=str(name)), *_]:
                    owner = ast.unparse(owner_node)
                case _:
                    return
            if CONSTANT.fullmatch(name):
                yield name, owner
        case ast.Call(func=ast.Attribute(attr="patch") | ast.Name(id="patch"), args=[path_node, *_]):
            match path_node:
                case ast.Constant(value=str(path)) if CONSTANT.fullmatch(path.rpartition(".")[2]):
                    yield path.rpartition(".")[2], path.rpartition(".")[0]
        case ast.Assign(targets=targets):
            for target in targets:
                if isinstance(target, ast.Attribute) and CONSTANT.fullmatch(target.attr):
                    yield target.attr, ast.unparse(target.value)


@pytest.mark.parametrize(
    "source",
    [
        "monkeypatch.setattr('app.jobs.routes.WAIT_SECONDS', 1)",
        "from app.jobs import routes\nmonkeypatch.setattr(routes, 'WAIT_SECONDS', 1)",
        "from worker import consumer as other\nmonkeypatch.setattr(other, '_PAGE', 1)",
        "import worker.lease\nmonkeypatch.setattr(worker.lease, 'A1', 1)",
        "import app.core.paging as paging\nsetattr(paging, 'PAGE_BYTES', 1)",
        "from app.core import paging\npaging.PAGE_BYTES = 1",
        "mock.patch('worker.consumer.BLOCK_SECONDS', 1)",
    ],
)
def test_a_changed_constant_is_found(source: str) -> None:
    assert len(patched(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "monkeypatch.setattr(tempfile, 'tempdir', '/')",
        "import signal\nmonkeypatch.setattr(signal, 'SIGCHLD', 1)",
        "from app.core import paging\nmonkeypatch.setattr(paging, 'page', 1)",
        "monkeypatch.setenv('MAX_STREAMS', '1')",
    ],
)
def test_other_assignments_are_ignored(source: str) -> None:
    assert patched(source) == []


def test_no_test_changes_a_constant_of_the_product() -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if (names := patched(path.read_text(encoding="utf-8")))
    }

    assert found == {}, "make each of them an argument with a default, or a setting, and pass another value"
