"""There is one door for commit, publish, count: nothing is published, or counted, anywhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DOOR = "app/jobs/unit_of_work.py"
COUNTING = "app/jobs/counting.py"
BEHIND_THE_DOOR = {
    "publish_transition": {DOOR, "app/jobs/publishing.py"},
    "count_transition": {DOOR, COUNTING},
    "JOBS_CREATED": {COUNTING, "app/core/metrics.py"},
    "JOBS_ENDED": {COUNTING, "app/core/metrics.py"},
}


def names_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
                yield name
            case ast.alias(name=name):
                yield name.rpartition(".")[2]


@pytest.mark.parametrize(("name", "places"), BEHIND_THE_DOOR.items())
def test_only_the_unit_of_work_publishes_and_counts(name: str, places: set[str]) -> None:
    users = {
        str(path.relative_to(ROOT))
        for folder in ("app", "worker")
        for path in (ROOT / folder).rglob("*.py")
        if name in names_in(path)
    }

    assert users == places
