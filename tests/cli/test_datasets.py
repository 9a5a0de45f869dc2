"""`headrace datasets`, as processes."""

import gzip
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

CONTENT = "zip;town;note\n01067;Dresden;fine\n8001;Zürich;NA\n"

# Each call of the command line is a process.
pytestmark = pytest.mark.long


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """A file of two rows, with semicolons."""
    path = tmp_path / "visits.csv"
    path.write_text(CONTENT)
    return path


def test_a_file_is_uploaded_shown_downloaded_and_deleted(headrace: Run, visits: Path, tmp_path: Path) -> None:
    uploaded = headrace("datasets", "upload", str(visits), "--null-value", "NA", "--column-type", "zip=id")
    dataset_id = uploaded.stdout.strip()
    listed = headrace("datasets", "list", "--name", "visits.csv")
    shown = headrace("datasets", "show", "visits.csv").stdout
    rows = headrace("datasets", "rows", dataset_id, "-n", "2").stdout.splitlines()
    content = headrace("datasets", "download", "visits.csv")
    copy = tmp_path / "copy.csv"
    written = headrace("datasets", "download", dataset_id, "--output", str(copy), "--json")
    deleted = headrace("datasets", "delete", dataset_id, "--json")
    gone = headrace("datasets", "show", dataset_id, "--json")

    assert uploaded.returncode == 0, uploaded.stderr
    assert uploaded.stderr == "visits.csv: 2 rows; zip (text), town (text), note (text)\n"
    assert listed.stdout.splitlines()[1].split()[:5] == [dataset_id, "visits.csv", "csv", "2", "3"]
    assert "  delimiter: ;\n" in shown
    assert "  missing values: NA\n" in shown
    assert rows[0].split() == ["zip", "town", "note"]
    assert [line.split() for line in rows[1:]] == [["01067", "Dresden", "fine"], ["8001", "Zürich"]]
    assert content.stdout == copy.read_text() == CONTENT
    assert json.loads(written.stdout)["bytes"] == copy.stat().st_size
    assert json.loads(deleted.stdout) == {"dataset_id": dataset_id, "deleted": True}
    assert (gone.returncode, json.loads(gone.stderr)["code"]) == (1, "dataset_not_found")


def test_stdin_is_uploaded_with_its_format(headrace: Run, tmp_path: Path) -> None:
    as_json = headrace(
        *("datasets", "upload", "-", "--name", "visits", "--file-format", "csv", "--json"),
        stdin=CONTENT.encode(),
    )
    compressed = tmp_path / "visits.csv.gz"
    compressed.write_bytes(gzip.compress(CONTENT.encode()))
    by_file = headrace("datasets", "upload", str(compressed), "--json")
    rows = headrace("datasets", "rows", "visits", "--json")

    assert [json.loads(done.stdout)["name"] for done in (as_json, by_file)] == ["visits", "visits.csv"]
    assert json.loads(rows.stdout)["rows"][1]["town"] == "Zürich"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["upload", "-"], 2, "name the format of stdin with --file-format"),
        (["upload", "visits.xlsx"], 2, "visits.xlsx is not a dataset file"),
        (["upload", "/nowhere.csv"], 1, "cannot read /nowhere.csv: No such file"),
        (["download", "visits.csv", "--json"], 2, "--output"),
        (["delete", "unheard-of"], 1, "You have no dataset with the name unheard-of."),
    ],
)
def test_an_error_is_one_line_on_stderr(headrace: Run, arguments: list[str], code: int, message: str) -> None:
    done = headrace("datasets", *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
