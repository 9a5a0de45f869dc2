"""Rows of Postgres end in `from_row`: what a public function takes or returns has a type."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COVERED = (
    *(
        "app/auth",
        "app/core/hints.py",
        "app/datasets",
        "app/http",
        "app/jobs",
        "app/maintenance",
        "app/models",
        "app/notifications",
    ),
    *("app/operations", "app/quotas", "app/streams", "app/uploads", "worker"),
)
"""Folders and files in which no row crosses the border of a module."""

ROW_TYPES = frozenset({"Record", "RowMapping", "Row"})
READERS = frozenset({"from_row", "from_rows", "from_row_with_outputs", "from_row_with_scores"})
"""Where a row becomes a value."""

ENTITIES = frozenset({"row", "record", "job", "attempt", "batch", "dataset", "version", "user"})
"""An argument of such a name has the type of the entity, never Any."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[Path]:
    for place in COVERED:
        path = ROOT / place
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, Function):
                    yield f"{node.name}.{member.name}", member


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split(".") if not part.startswith("__"))


def takes_or_gives_rows(function: Function) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [*(argument.annotation for argument in arguments), function.returns]
    names = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for annotation in filter(None, annotations)
        for node in ast.walk(annotation)
        if isinstance(node, ast.Attribute | ast.Name)
    }
    untyped = any(
        argument.arg in ENTITIES
        and isinstance(argument.annotation, ast.Name)
        and argument.annotation.id == "Any"
        for argument in arguments
    )
    return bool(names & ROW_TYPES) or untyped


def found_in(source: str) -> list[str]:
    """The public functions of a module, apart from the readers of rows, that take or return rows."""
    return [
        name
        for name, function in public_functions(ast.parse(source))
        if is_public(name) and function.name not in READERS and takes_or_gives_rows(function)
    ]


def test_no_row_crosses_the_border_of_a_module() -> None:
    found = {f"{path.relative_to(ROOT)}: {name}" for path in modules() for name in found_in(path.read_text())}

    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "async def job(connection: asyncpg.Connection) -> asyncpg.Record | None: ...",
        "async def jobs(session: AsyncSession) -> Sequence[RowMapping]: ...",
        "def view(row: Any) -> View: ...",
        "def view(*, job: Any) -> View: ...",
        "class Views:\n    def job(self, found: asyncpg.Record) -> View: ...",
    ],
)
def test_a_row_would_be_noticed(source: str) -> None:
    assert found_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "def _view(row: asyncpg.Record) -> View: ...",
        "class Job:\n    @classmethod\n    def from_row(cls, row: Row) -> Self: ...",
        "async def job(connection: asyncpg.Connection) -> Job | None: ...",
    ],
)
def test_what_reads_a_row_within_its_module_may(source: str) -> None:
    assert not found_in(source)
