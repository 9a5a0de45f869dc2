"""No statement locks rows in a subquery of IN: Postgres may run that again for each row, and lock others."""

import re
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
SUBQUERY = re.compile(r"\bIN\s*\(\s*SELECT\b")
LOCKING = re.compile(r"\bFOR (?:NO KEY )?UPDATE\b")


def locking(source: str) -> list[str]:
    """The subqueries of IN that lock rows."""
    found = [_in_parentheses(source, match.start()) for match in SUBQUERY.finditer(source)]
    return [subquery for subquery in found if LOCKING.search(subquery)]


def _in_parentheses(source: str, start: int) -> str:
    depth = 0
    for place in range(source.index("(", start), len(source)):
        depth += {"(": 1, ")": -1}.get(source[place], 0)
        if depth == 0:
            return source[start : place + 1]
    return source[start:]


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("DELETE FROM a WHERE id IN (SELECT id FROM a FOR UPDATE)", 1),
        ("WHERE (a, b) IN (\n  SELECT a, b FROM (SELECT 1 FOR NO KEY UPDATE SKIP LOCKED) x)", 1),
        ("WHERE id = ANY (ARRAY(SELECT id FROM a FOR UPDATE))", 0),
        ("WHERE id IN (SELECT f(id) FROM a) FOR UPDATE", 0),
    ],
)
def test_a_locking_subquery_is_found(source: str, count: int) -> None:
    assert len(locking(source)) == count


def test_no_statement_locks_rows_in_a_subquery_of_in() -> None:
    found = {str(path.relative_to(APP)): locking(path.read_text()) for path in APP.rglob("*.py")}

    assert {path: subqueries for path, subqueries in found.items() if subqueries} == {}
