"""`headrace train`, `evaluate` and `search`, as processes."""

import json
from pathlib import Path

import pytest

from app.cli.searches.values import parse_values
from tests.cli.conftest import Run

# Each call of the command line is a process.
pytestmark = pytest.mark.long


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A file whose column `kind` follows from `length`; `shape` is constant."""
    path = tmp_path / "flowers.csv"
    path.write_text("length,shape,kind\n" + "".join(f"{n % 9},round,{'ab'[n % 9 > 4]}\n" for n in range(99)))
    return path


def test_a_model_is_trained_evaluated_and_shown_with_its_warnings(headrace: Run, flowers: Path) -> None:
    options = ("--algorithm", "logistic_regression", "--split", "stratified", "--model", "flowers")
    trained = headrace("train", "--dataset", str(flowers), "--target", "kind", *options, "--watch")
    evaluated = headrace(
        *("evaluate", "flowers", "--dataset-name", "flowers.csv", "--target", "kind", "--watch")
    )
    shown = headrace("jobs", "show", evaluated.stdout.strip()).stdout
    as_json = json.loads(headrace("jobs", "show", trained.stdout.strip(), "--json").stdout)
    metrics = json.loads(headrace("models", "show", "flowers", "--json").stdout)["metrics"]

    assert trained.returncode == 0, trained.stderr
    assert "completed · flowers@1, accuracy " in trained.stderr
    for warning in as_json["result"]["warnings"]:
        assert f"warning: {warning}" in trained.stderr
    assert any("shape" in warning for warning in as_json["result"]["warnings"])
    assert evaluated.returncode == 0, evaluated.stderr
    assert "completed · accuracy " in evaluated.stderr
    assert "  kind: evaluate_model\n" in shown
    assert "  model: flowers@1\n" in shown
    assert "\n  f1_macro: " in shown
    assert "accuracy" in metrics


def test_a_search_is_watched_and_ranked(headrace: Run, flowers: Path) -> None:
    options = ("--algorithm", "logistic_regression", "--epochs", "2", "--model", "flowers")
    space = ("--try", "alpha=0.0001,0.01", "--try", 'penalty=["l2"]', "--metric", "f1_macro")
    created = headrace(
        *("search", "create", "--dataset", str(flowers), "--target", "kind"), *options, *space, "--watch"
    )
    search_id = created.stdout.strip()
    watched = headrace("search", "watch", search_id, "--json")
    table = headrace("search", "leaderboard", search_id).stdout.splitlines()

    assert created.returncode == 0, created.stderr
    assert "1/2  completed  f1_macro " in created.stderr
    assert "\nbest: flowers@" in created.stderr
    [state] = [json.loads(line) for line in watched.stdout.splitlines()]
    assert state["is_finished"]
    assert table[0].split() == ["rank", "job", "status", "f1_macro", "model", "params"]
    assert [line.split()[0] for line in table[1:3]] == ["1", "2"]


def test_a_training_with_folds_is_a_search_with_one_trial(headrace: Run, flowers: Path) -> None:
    options = ("--algorithm", "logistic_regression", "--epochs", "2", "--model", "flowers")
    created = headrace(
        *("train", "--dataset", str(flowers), "--target", "kind", "--folds", "3", *options, "--watch")
    )
    table = headrace("search", "leaderboard", created.stdout.strip()).stdout.splitlines()
    both = headrace("train", "--dataset", str(flowers), "--target", "kind", "--folds", "3", "--cv", "3")
    search = ("search", "create", "--dataset-name", "flowers.csv", "--target", "kind", "--try", "alpha=0.1,1")
    tried = headrace(*search, *options, "--folds", "2", "--json")

    assert created.returncode == 0, created.stderr
    assert "1/1  completed  accuracy " in created.stderr
    assert " ± " in created.stderr
    assert "\nbest: flowers@1, accuracy " in created.stderr
    assert table[0].split() == ["rank", "job", "status", "accuracy", "std", "folds", "model", "params"]
    assert len(json.loads(tried.stdout)["job_ids"]) == 6
    assert (both.returncode, "give one of them" in both.stderr) == (1, True), both.stderr


def test_a_search_of_which_no_trial_completes_has_failed(headrace: Run, flowers: Path) -> None:
    created = headrace(
        *("search", "create", "--dataset", str(flowers), "--target", "kind", "--queue", "nobody"),
        *("--algorithm", "logistic_regression", "--try", "alpha=1e-6..1e-2:log", "--trials", "2", "--json"),
    )
    search_id = json.loads(created.stdout)["group_id"]
    cancelled = headrace("search", "cancel", search_id)
    watched = headrace("search", "watch", search_id, "--json")

    assert cancelled.stdout == f"{search_id} cancelled\n"
    assert watched.returncode == 1
    error = json.loads(watched.stderr)
    assert (error["code"], error["search_id"], error["statuses"]["cancelled"]) == (
        "search_failed",
        search_id,
        2,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "sentiment", "--target", "y"], 2, "No rows"),
        (["search", "create", "--target", "y", "--try", "alpha=1"], 2, "No rows"),
        (["search", "create", "--target", "y", "--try", "alpha=a..b"], 2, "'a' is not a number"),
        (["search", "leaderboard", "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"], 1, "There is no group"),
        (["jobs", "show", "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"], 1, "There is no job"),
    ],
)
def test_an_error_is_one_line_on_stderr(headrace: Run, arguments: list[str], code: int, message: str) -> None:
    done = headrace(*arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("alpha=0.1,1,10", [0.1, 1, 10]),
        ("penalty=l2,elasticnet", ["l2", "elasticnet"]),
        ("depth=3", [3]),
        ("depth=[3, null]", [3, None]),
        ("alpha=1e-6..1e-2:log", {"min": 1e-6, "max": 1e-2, "log": True}),
        ("alpha=0.5..1.5", {"min": 0.5, "max": 1.5}),
        ("depth=1..9", {"min": 1, "max": 9}),
        ('alpha={"min": 1, "max": 9}', {"min": 1, "max": 9}),
    ],
)
def test_the_values_to_try_are_a_list_or_a_range(text: str, values: object) -> None:
    assert parse_values(text).value == values


def test_the_report_the_card_and_the_plots_of_a_training_are_shown(headrace: Run, tmp_path: Path) -> None:
    lines = [f"{n * 7 % 100},{'ab'[n * 7 % 100 > 50]}" for n in range(100)]
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(["length,kind", *lines]))
    options = ("--algorithm", "logistic_regression", "--split", "stratified", "--model", "flowers")
    kept = ("--held-out-dataset", "held out", "--watch")

    trained = headrace("train", "--dataset", str(path), "--target", "kind", *options, *kept)
    report = headrace("models", "report", "flowers").stdout
    as_json = json.loads(headrace("models", "report", "flowers@1", "--json").stdout)
    card = headrace("models", "card", "flowers@1").stdout
    folder = tmp_path / "plots"
    plots = headrace("models", "plots", "flowers@1", "--output", str(folder), "--format", "svg")
    datasets = headrace("datasets", "list").stdout

    assert trained.returncode == 0, trained.stderr
    assert "split: stratified; rows: 60 train, 20 validation, 20 test" in report
    assert "length" in report
    assert as_json["classification"]["roc"]
    assert card.startswith("# flowers, version 1\n")
    assert plots.returncode == 0, plots.stderr
    assert sorted(plots.stdout.splitlines()) == sorted(map(str, folder.iterdir()))
    assert (folder / "roc.svg").read_text().startswith("<?xml")
    assert "held out" in datasets
