"""Rows have types: no bare database row crosses a module border in these packages."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("auth", "datasets", "models", "operations", "quotas", "uploads")
BARE_ROWS = frozenset({"Record", "RowMapping"})

MODULES = [path for package in PACKAGES for path in sorted((ROOT / "app" / package).rglob("*.py"))]


def bare_rows(module: Path) -> list[str]:
    """The public functions of a module that take or return a bare row."""
    return [
        node.name
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and BARE_ROWS & set(names_of_annotations(node))
    ]


def names_of_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """All names in the annotations of a function."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments if argument.annotation]
    annotations += [function.returns] if function.returns else []
    parts = [part for annotation in annotations for part in ast.walk(annotation)]
    return [part.id for part in parts if isinstance(part, ast.Name)] + [
        part.attr for part in parts if isinstance(part, ast.Attribute)
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_public_function_takes_or_returns_a_bare_row(module: Path) -> None:
    assert bare_rows(module) == []


def test_a_bare_row_would_be_found(tmp_path: Path) -> None:
    module = tmp_path / "queries.py"
    module.write_text("async def page(x: int) -> list[asyncpg.Record]: ...\ndef _row() -> Record: ...\n")

    assert bare_rows(module) == ["page"]
