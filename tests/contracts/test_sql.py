"""SQL is readable: parameters have names, and each statement says above it what it is for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

COVERED = ("app/jobs", "app/maintenance", "app/notifications", "app/schedules", "app/streams")

POSITION = re.compile(r"\$[0-9]")
RUNS_SQL = frozenset({"fetch", "fetchrow", "fetchval", "execute", "executemany"})


def sources() -> Iterator[tuple[str, str]]:
    for folder in COVERED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def without_a_sentence(source: str) -> Iterator[str]:
    """The statements of a module that have no comment above them."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        match node:
            case (
                ast.AnnAssign(value=ast.Call(func=ast.Name(id="Statement")), target=ast.Name(id=name))
                | ast.Assign(value=ast.Call(func=ast.Name(id="Statement")), targets=[ast.Name(id=name)])
            ) if not lines[node.lineno - 2].startswith("# "):
                yield name


def texts_run_directly(source: str) -> Iterator[int]:
    """The lines on which SQL is run past `Statement`: on a connection, with its text."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=method, value=ast.Name(id="connection")), lineno=line) if (
                method in RUNS_SQL
            ):
                yield line


def test_parameters_have_names() -> None:
    assert [path for path, source in sources() if POSITION.search(source)] == []


def test_each_statement_says_what_it_is_for() -> None:
    assert {path: found for path, source in sources() if (found := list(without_a_sentence(source)))} == {}


def test_sql_is_run_by_statements_only() -> None:
    # SQLAlchemy builds the statements of lists and counts of jobs, whose filters vary.
    allowed = {"app/jobs/bulk_actions/queries.py": 1, "app/jobs/queries.py": 2}

    found = {path: len(list(texts_run_directly(source))) for path, source in sources()}

    assert {path: count for path, count in found.items() if count} == allowed


def test_a_statement_without_a_sentence_would_be_noticed() -> None:
    assert list(without_a_sentence('_X: Final = Statement("SELECT 1")')) == ["_X"]
    assert list(without_a_sentence('# Which?\n_X: Final = Statement("SELECT 1")')) == []
    assert list(texts_run_directly('connection.fetch("SELECT $1", 1)')) == [1]
