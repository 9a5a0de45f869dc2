"""`headrace predict`, as processes."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.e2e.support import short_texts

# Each call of the command line is a process.
pytestmark = pytest.mark.long


def test_texts_are_predicted_at_once_a_line_each(headrace: Run) -> None:
    by_argument = headrace("predict", "What a lovely day", "It broke at once. Terrible!")
    by_stdin = headrace("predict", "--json", stdin=b"good\nbad\n")
    as_csv = headrace("predict", "--format", "csv", stdin=b"good\n")

    assert by_argument.returncode == 0, by_argument.stderr
    assert [line.split("\t")[:2] for line in by_argument.stdout.splitlines()] == [
        ["0", "positive"],
        ["1", "negative"],
    ]
    assert by_argument.stderr == ""
    labels = [json.loads(line)["prediction"]["label"] for line in by_stdin.stdout.splitlines()]
    assert labels == ["positive", "negative"]
    assert as_csv.stdout.startswith("index,input_index,label,score")


def test_rows_are_predicted_and_those_with_an_error_are_counted(headrace: Run) -> None:
    done = headrace("predict", "--row", '{"text": "good"}', "--row", '{"text": 3}')

    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 2)
    assert lines[0].startswith("0\tpositive\t")
    assert lines[1].startswith("1\terror: ")
    assert done.stderr == "1 of 2 rows have an error instead of a prediction.\n"


def test_a_file_is_predicted_into_a_file(headrace: Run, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["id", "review"], *enumerate(short_texts(150))])
    output = tmp_path / "predictions.parquet"

    done = headrace("predict", "--dataset", str(file), "--column", "review", "--output", str(output))
    again = headrace(
        *("predict", "--dataset", str(file), "--column", "review", "--delete-dataset"),
        *("--output", str(tmp_path / "predictions.csv"), "--json"),
    )
    listed = headrace("datasets", "list", "--json")

    assert (done.returncode, done.stdout) == (0, "")
    assert "150/150" in done.stderr
    assert pq.read_table(output).column("id").to_pylist() == list(range(150))
    document = json.loads(again.stdout)
    assert (document["rows"], document["errors"], document["model"]) == (150, 0, "sentiment@1")
    assert document["bytes"] == (tmp_path / "predictions.csv").stat().st_size
    assert len(json.loads(listed.stdout)["items"]) == 1


def test_more_texts_than_a_request_takes_are_predicted_as_a_dataset(headrace: Run) -> None:
    done = headrace("predict", "--file", "-", stdin="\n".join(short_texts(1200)).encode())
    listed = headrace("datasets", "list", "--json")

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1200
    assert json.loads(listed.stdout) == {"items": []}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "the input is empty"),
        (["good", "--row", "{}"], 2, "one of them"),
        (["--row", "{rooms: 3}"], 2, "--row: not JSON"),
        (["--row", "3"], 2, "expected a JSON object by column"),
        (["good", "--output", "rows.txt"], 2, "rows.txt does not end in .csv"),
        (["good", "--json", "--format", "csv"], 2, "with --output"),
        (["good", "--delete-dataset"], 2, "only applies to a file that is uploaded"),
        (["good", "--model", "unheard-of"], 1, "unheard-of"),
        (["--row", "[1, 2]"], 1, "The model sentiment@1 takes"),
    ],
)
def test_an_error_is_one_line_on_stderr(headrace: Run, arguments: list[str], code: int, message: str) -> None:
    done = headrace("predict", *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
