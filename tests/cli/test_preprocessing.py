"""`headrace preprocess` and `headrace datasets profile`, as processes."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

# Each call of the command line is a process.
pytestmark = pytest.mark.long


def test_a_dataset_is_profiled_and_preprocessed(headrace: Run, tmp_path: Path) -> None:
    rows = tmp_path / "reviews.csv"
    rows.write_text("id,review\n1,Good.\n2,good.\n2,good.\n")
    steps = tmp_path / "steps.json"
    steps.write_text(json.dumps([{"step": "deduplicate"}, {"step": "drop", "columns": ["id"]}]))
    headrace("datasets", "upload", str(rows))

    profiled = headrace("datasets", "profile", "reviews.csv")
    made = headrace("preprocess", "reviews.csv", str(steps), "--name", "clean", "--watch")
    shown = json.loads(headrace("datasets", "rows", "clean", "--json").stdout)

    assert profiled.stdout.startswith("3 rows, 1 of them duplicates\n")
    assert "warning: review: Some texts differ only in case or in white space.\n" in profiled.stderr
    assert made.returncode == 0, made.stderr
    assert shown["rows"] == [{"review": "Good."}, {"review": "good."}]


@pytest.mark.parametrize("content", ["{", "{}", "[3]"])
def test_a_file_without_steps_is_wrong_usage(headrace: Run, tmp_path: Path, content: str) -> None:
    steps = tmp_path / "steps.json"
    steps.write_text(content)

    done = headrace("preprocess", "reviews.csv", str(steps))

    assert done.returncode == 2
    assert done.stderr.startswith("headrace: STEPS: ") or "STEPS: " in done.stderr
