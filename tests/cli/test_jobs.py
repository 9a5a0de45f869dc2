"""`headrace jobs`, as processes."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from app.cli.jobs.table import print_profile
from app.client import Profile
from tests.cli.conftest import Run
from tests.client.running import Running, User
from tests.e2e.support import compounds, short_texts
from tests.support import ports
from tests.support.processes import ROOT

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

# Each call of the command line is a process.
pytestmark = pytest.mark.long


@pytest.fixture
def api(system: Running, ada: User) -> Iterator[httpx.Client]:
    """The API, with ada signed in."""
    pair = httpx.post(f"{system.url}/token", data=ada.credentials, trust_env=False).json()
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    with httpx.Client(base_url=system.url, headers=headers, trust_env=False) as client:
        yield client


def test_texts_are_submitted_watched_and_read(run: Run, tmp_path: Path) -> None:
    texts = short_texts(30)
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts) + "\n")
    submitted = run("submit", "--file", str(file), "--batch-size", "10", "--watch")
    job_id = submitted.stdout.strip()
    ndjson = run("results", job_id)
    as_csv = run("results", job_id, "--format", "csv")

    assert submitted.returncode == 0, submitted.stderr
    assert "completed" in submitted.stderr
    assert "30/30" in submitted.stderr
    rows = [json.loads(line) for line in ndjson.stdout.splitlines()]
    assert [row["prediction"]["scores"]["compound"] for row in rows] == compounds(texts)
    assert len(list(csv.DictReader(as_csv.stdout.splitlines()))) == 30


def test_texts_come_as_arguments_and_by_stdin_each_line_as_it_is(run: Run, api: httpx.Client) -> None:
    by_argument = run("submit", "good", "bad\nworse", "--queue", "nobody").stdout.strip()
    lines = "good\r\n\n a\u2028b\x0cc \n".encode()
    by_stdin = run("submit", "--queue", "nobody", "--metadata", "a=b=c", stdin=lines).stdout.strip()
    by_dash = run("submit", "--file", "-", "--priority", "high", "--watch", stdin=b"good").stdout.strip()

    assert api.get(f"/jobs/{by_argument}").json()["total"] == 2
    job = api.get(f"/jobs/{by_stdin}").json()
    assert (job["total"], job["metadata"]) == (3, {"a": "b=c"})
    assert api.get(f"/jobs/{by_dash}").json()["priority"] == "high"


def test_a_file_of_rows_is_uploaded_predicted_and_read_as_parquet(run: Run, tmp_path: Path) -> None:
    texts = short_texts(50)
    file = tmp_path / "reviews.jsonl"
    file.write_text("".join(json.dumps({"id": n, "review": text}) + "\n" for n, text in enumerate(texts)))
    submitted = run("submit", "--dataset", str(file), "--column", "review", "--watch")
    job_id = submitted.stdout.strip()
    output = tmp_path / "predictions.parquet"
    fetched = run("results", job_id, "--format", "parquet", "--output", str(output))

    assert submitted.returncode == 0, submitted.stderr
    assert "50 rows" in submitted.stderr
    assert fetched.returncode == 0, fetched.stderr
    table = pq.read_table(output)
    assert table.column("id").to_pylist() == list(range(50))
    assert table.column("scores.compound").to_pylist() == compounds(texts)
    dataset_id = submitted.stderr.partition("dataset ")[2].partition(":")[0]
    again = run("submit", "--dataset", dataset_id, "--watch")
    assert again.returncode == 0, again.stderr


def test_options_tell_the_server_how_to_read_a_file(run: Run, api: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "visits.csv"
    file.write_bytes("zip=no;review;sold\n01067;Schön, good;n/a\n8001;bad;-\n".encode("windows-1252"))
    how = ["--delimiter", ";", "--encoding", "windows-1252", "--null-value", "n/a", "--null-value", "-"]
    types = ["--column-type", "zip=no=category", "--column-type", "sold=number"]
    submitted = run("submit", "--dataset", str(file), *how, *types, "--column", "review", "--watch")

    assert submitted.returncode == 0, submitted.stderr
    dataset_id = submitted.stderr.partition("dataset ")[2].partition(":")[0]
    assert api.get(f"/datasets/{dataset_id}").json()["options"] == {
        "delimiter": ";",
        "encoding": "cp1252",
        "null_values": ["n/a", "-"],
        "columns": {"zip=no": "category", "sold": "number"},
    }
    preview = api.get(f"/datasets/{dataset_id}/preview").json()
    assert preview["rows"][0] == {"zip=no": "01067", "review": "Schön, good", "sold": None}
    for refused in (
        run("submit", "--dataset", dataset_id, *how),
        run("submit", "good", "--null-value", "NA"),
        run("train", "--dataset", dataset_id, "--target", "sold", "--encoding", "latin-1"),
        run("submit", "--dataset", str(file), "--column-type", "zip=postcode"),
    ):
        assert (refused.returncode, refused.stdout) == (2, "")


def test_a_model_is_trained_on_a_file_and_each_epoch_is_shown(
    run: Run, api: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "flowers.csv"
    file.write_text("length,kind\n" + "".join(f"{n},{'ab'[n > 50]}\n" for n in range(100)))
    options = ["--algorithm", "logistic_regression", "--param", "alpha=0.001", "--param", "penalty=l1"]
    submitted = run(
        *("train", "--dataset", str(file), "--target", "kind", "--feature", "length", *options),
        *("--epochs", "3", "--seed", "4", "--model", "flowers", "--metadata", "team=garden", "--watch"),
    )
    job = api.get(f"/jobs/{submitted.stdout.strip()}").json()

    assert submitted.returncode == 0, submitted.stderr
    shown = [
        f"Epoch {epoch['epoch']}/3  loss {epoch['train_loss']:.3f}, "
        f"validation loss {epoch['valid_loss']:.3f}, accuracy {epoch['valid_accuracy']:.3f}"
        for epoch in job["result"]["history"]
    ]
    assert len(shown) == 3
    assert [line.partition("  ")[2] for line in submitted.stderr.splitlines() if "Epoch" in line] == shown
    assert f"completed · flowers@1, accuracy {job['result']['accuracy']:.3f}" in submitted.stderr
    assert job["metadata"] == {"team": "garden"}
    assert (job["result"]["params"]["alpha"], job["result"]["params"]["penalty"]) == (0.001, "l1")
    dataset_id = submitted.stderr.partition("dataset ")[2].partition(":")[0]
    unknown = run("train", "--dataset", dataset_id, "--target", "colour")
    assert unknown.returncode == 1
    assert "colour" in unknown.stderr


def test_jobs_are_listed_as_a_table_and_for_programs(run: Run, ada: User) -> None:
    made = [run("submit", "x", "--queue", "nobody").stdout.strip() for _ in range(3)]
    table = run("list", "--limit", "2").stdout.splitlines()
    lines = run("list", "--format", "ndjson", "--status", "pending").stdout.splitlines()

    assert table[0].split() == ["job", "status", "progress", "kind", "priority", "queue", "created"]
    assert [line.split()[:2] for line in table[1:]] == [[made[2], "pending"], [made[1], "pending"]]
    assert [json.loads(line)["job_id"] for line in lines] == made[::-1]
    assert run("list", "--status", "failed", "--format", "ndjson").stdout == ""


def test_a_job_is_explained_cancelled_and_retried(run: Run) -> None:
    job_id = run("submit", "x", "--queue", "nobody").stdout.strip()
    explained = run("explain", job_id).stdout
    cancelled = run("cancel", job_id)
    watched = run("watch", job_id)
    again = run("cancel", job_id)
    retried = run("retry", job_id, "--from-start")

    assert "nobody" in explained
    assert "code: no_worker" in explained
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{job_id} cancelled\n")
    assert watched.returncode == 1
    assert f"job {job_id} cancelled" in watched.stderr
    assert (again.returncode, again.stderr) == (1, "headrace: Cannot cancel cancelled job\n")
    assert (retried.returncode, retried.stdout) == (0, f"{job_id} pending\n")


def test_the_log_of_a_job_is_printed_line_by_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    file.write_text("length,kind\n" + "".join(f"{n},{'ab'[n > 20]}\n" for n in range(40)))
    options = ["--target", "kind", "--feature", "length", "--algorithm", "mlp", "--epochs", "2"]
    job_id = run("train", "--dataset", str(file), *options).stdout.split()[0]

    followed = run("logs", job_id, "--follow")
    warnings = run("logs", job_id, "--level", "warning", "--tail", "1")
    as_json = run("logs", job_id, "--json")

    lines = [line.split(maxsplit=4) for line in followed.stdout.splitlines()]
    assert (followed.returncode, followed.stderr) == (0, "")
    assert lines[0][2:4] == ["1", "info"]
    assert lines[0][4].startswith("Training on 24 rows and 1 columns; ")
    [warning] = warnings.stdout.splitlines()
    assert warning in followed.stdout
    assert "  warning  " in warning
    assert [json.loads(line)["line"] for line in as_json.stdout.splitlines()] == [*range(1, len(lines) + 1)]
    assert run("logs", job_id, "--tail", "0").returncode == 2


def test_the_shards_of_a_job_are_listed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "".join(f"{text}\n" for text in short_texts(50)))
    options = [
        "--column",
        "text",
        "--batch-size",
        "10",
        "--shards",
        "2",
        "--max-failed-shards",
        "1",
        "--profile",
    ]
    job_id = run("submit", "--dataset", str(file), *options, "--watch").stdout.split()[0]

    table = run("shards", job_id)
    as_json = run("shards", job_id, "--status", "completed", "--json")
    shown = run("show", job_id)

    assert (table.returncode, table.stderr) == (0, "")
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["shard", "rows", "done", "attempt", "status", "worker", "error"],
        ["0", "0-29", "100", "%", "1", "completed"],
        ["1", "30-49", "100", "%", "1", "completed"],
    ]
    assert [shard["shard"] for shard in json.loads(as_json.stdout)["items"]] == [0, 1]
    assert "  shards: 2 of 2 shards" in shown.stdout
    profile = run("profile", job_id, "--shard", "1").stdout.splitlines()
    assert profile[0].startswith("Shard 1, attempt 1: ")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--shards", "many"), ("--shards", "0"), ("--shards", "1001"), ("--max-failed-shards", "1001")],
)
def test_shards_that_cannot_be_are_refused_before_a_file_is_uploaded(
    run: Run, api: httpx.Client, tmp_path: Path, option: str, value: str
) -> None:
    file = tmp_path / "refused.csv"
    file.write_text("text\ngood\n")

    refused = run("submit", "--dataset", str(file), option, value)

    assert refused.returncode == 2
    assert option in refused.stderr
    assert file.name not in [dataset["name"] for dataset in api.get("/datasets").json()["items"]]


def test_a_profile_is_shown_as_a_table_and_as_stacks(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "profiled.csv"
    file.write_text("text\n" + "such a good day\n" * 20_000)
    job_id = run("submit", "--dataset", str(file), "--profile", "--watch").stdout.strip()
    table = run("profile", job_id, "--attempt", "1").stdout.splitlines()
    stacks = run("profile", job_id, "--stacks")

    assert table[0].startswith("Attempt 1: ")
    assert table[1].split() == ["self", "total", "function", "where"]
    assert len(table) > 2
    assert stacks.returncode == 0
    assert stacks.stdout
    assert all(line.rpartition(" ")[2].isdecimal() for line in stacks.stdout.splitlines())


def test_a_profile_without_samples_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"attempt": 2, "seconds": 0.004, "samples": 0, "cpu_seconds": 0.003, "top": []}
    print_profile(Profile.parse({**document, "memory_peak_bytes": 4096}))

    assert capsys.readouterr().out.splitlines() == [
        "Attempt 2: 0.00 s, 0 samples",
        "It ended before the first sample was taken.",
    ]


def test_several_jobs_are_watched_even_if_one_is_unknown(run: Run) -> None:
    jobs = [run("submit", *short_texts(10)).stdout.strip() for _ in range(2)]
    good = run("watch", *jobs)
    mixed = run("watch", UNKNOWN, *jobs)

    assert good.returncode == 0
    assert good.stderr.count("10/10") == 2
    assert mixed.returncode == 1
    assert mixed.stderr.count("10/10") == 2
    assert f"headrace: There is no job {UNKNOWN}." in mixed.stderr


def test_ctrl_c_stops_watching_but_not_the_job(
    run: Run, environment: dict[str, str], api: httpx.Client
) -> None:
    job_id = run("submit", *short_texts(10), "--delay-seconds", "600").stdout.strip()
    watching = subprocess.Popen(
        [sys.executable, "-m", "app", "jobs", "watch", job_id],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not _is_a_stream_open(api):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    watching.send_signal(signal.SIGINT)
    _, shown = watching.communicate(timeout=20)

    assert watching.returncode == 130
    assert b"Traceback" not in shown
    assert f"The job continues; to watch again: headrace jobs watch {job_id}" in shown.decode()
    assert api.get(f"/jobs/{job_id}").json()["status"] == "pending"
    assert api.post(f"/jobs/{job_id}/cancel").status_code in (200, 202)


def _is_a_stream_open(api: httpx.Client) -> bool:
    metrics = api.get("/metrics").text
    lines = [line for line in metrics.splitlines() if "streams_open" in line and 'transport="sse"' in line]
    return any(float(line.rsplit(" ", 1)[1]) > 0 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "message"),
    [
        (
            ["list"],
            {"HEADRACE_USERNAME": None},
            2,
            "Set HEADRACE_USERNAME and HEADRACE_PASSWORD, or HEADRACE_TOKEN.",
        ),
        (["list"], {"HEADRACE_PASSWORD": None}, 2, "set HEADRACE_PASSWORD"),
        (["list"], {"HEADRACE_URL": "localhost"}, 2, "'localhost' is not the URL of a server"),
        (["list"], {"HEADRACE_PASSWORD": "wrong"}, 1, "password"),
        (["list"], {"HEADRACE_TOKEN": "wrong"}, 1, "Sign in first"),
        (["submit", "x", "--model", "unheard-of"], {}, 1, "unheard-of"),
        (["submit", *["x"] * 1001], {}, 1, "Maximum 1000 texts allowed"),
        (["submit", "x", "--batch-size", "0"], {}, 1, "batch_size"),
        (["submit", "x", "--file", "y"], {}, 2, "not both"),
        (["submit"], {}, 2, "No texts"),
        (["submit", "x", "--run-at", "2099-01-01T00:00:00Z", "--delay-seconds", "1"], {}, 2, "not both"),
        (
            ["results", UNKNOWN, "--output", "/nowhere/rows"],
            {},
            1,
            "cannot write /nowhere/rows: No such file",
        ),
        (["submit", "--file", "/nowhere"], {}, 1, "cannot read /nowhere: No such file"),
        (["submit", "x", "--dataset", "y.csv"], {}, 2, "not both"),
        (["submit", "--dataset", "/nowhere.csv"], {}, 1, "cannot read /nowhere.csv: No such file"),
        (["submit", "--dataset", "y.txt"], {}, 2, "y.txt is not a dataset file"),
        (["submit", "--dataset", UNKNOWN], {}, 1, "There is no dataset"),
        (["train", "--dataset", "/nowhere.csv", "--target", "y"], {}, 1, "cannot read /nowhere.csv"),
        (["train", "--dataset", UNKNOWN, "--target", "y"], {}, 1, "There is no dataset"),
        (["results", UNKNOWN], {}, 1, "There is no job"),
        (["explain", "no-id"], {}, 1, "is invalid"),
    ],
)
def test_an_error_is_one_line_on_stderr(
    run: Run, arguments: list[str], changes: dict[str, str | None], code: int, message: str
) -> None:
    done = run(*arguments, **changes)

    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.startswith("headrace: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["watch"],
        ["submit", "x", "--priority", "huge"],
        ["train", "--dataset", "x.csv"],
        ["train", "--dataset", "x.csv", "--target", "y", "--param", "alpha"],
        ["list", "--limit", "0"],
        ["list", "--metadata", "x"],
        ["submit", "x", "--run-at", "tomorrow"],
        ["submit", "x", "--run-at", "2026-03-01T12:00:00"],
    ],
)
def test_wrong_usage_exits_with_2_and_points_to_the_help(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("headrace: ")
    assert re.search(r" Try 'headrace jobs[ a-z]* --help'\.\n$", done.stderr)
    assert done.stderr.count("\n") == 1


def test_options_override_the_environment(run: Run, system: Running, ada: User) -> None:
    options = ["--url", system.url, "--username", ada.name, "--password", ada.password]
    done = run("list", *options, HEADRACE_URL="http://nowhere", HEADRACE_TOKEN="wrong")

    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_ends_the_command_without_a_message(run: Run, environment: dict[str, str]) -> None:
    job_id = run("submit", *short_texts(1000), "--watch").stdout.strip()
    command = f"{sys.executable} -m app jobs results {job_id} | head -1"
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=ROOT, capture_output=True, timeout=50)

    assert json.loads(done.stdout)["index"] == 0
    assert done.stderr == b""


@pytest.mark.parametrize("arguments", [["list"], ["watch", UNKNOWN]])
def test_an_unreachable_server_is_reported(run: Run, arguments: list[str]) -> None:
    with ports.reserved() as port:
        done = run(*arguments, "--url", f"http://127.0.0.1:{port}")

    assert done.returncode == 1
    assert "headrace: cannot reach http://127.0.0.1:" in done.stderr
