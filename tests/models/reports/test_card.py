"""The model card says what a version is, to each reader what that reader may know."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.core.files import StoredFile
from app.models.reports import card
from app.models.versions import InputColumn, RegisteredVersion, Task
from tests.models.reports.examples import BINARY, NUMBERS

VERSION = RegisteredVersion(
    id=UUID(int=1),
    name="churn",
    owner="ada",
    is_own=True,
    version=3,
    aliases=("best",),
    runtime="sklearn",
    task=Task.CLASSIFICATION,
    columns=(InputColumn("age", "number"), InputColumn("city", "category")),
    classes=("no", "yes"),
    metrics={"accuracy": 0.85, "log_loss": None},
    params={"algorithm": "logistic_regression", "alpha": 0.001},
    lineage={"job_id": "019a", "dataset_id": "019b", "library_versions": {"numpy": "2.4"}},
    file=StoredFile("artifacts/1", 10, "ab" * 32),
    description=None,
    tags={},
    has_report=True,
    created_at=datetime(2026, 1, 31, tzinfo=UTC),
)


def test_a_card_has_data_split_metrics_warnings_and_lineage() -> None:
    text = card.markdown(VERSION, BINARY)

    assert text.startswith("# churn, version 3\n\nA classification that predicts `churned`, trained with")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# churn, version 3",
        "## Inputs",
        "## Data",
        "## Training",
        "## Metrics",
        "### By class",
        "### Confusion matrix",
        "### Threshold",
        "## Importance of the columns",
        "## Warnings",
        "## Lineage",
    ]
    assert "Split by time: the latest rows are held out (`since`)." in text
    assert "| test | 20 |" in text
    assert "| `accuracy` | 0.85 | 0.9 |" in text
    assert "| `log_loss` | – | – |" in text
    assert "| `yes` | 5 | 0.75 | 0.6 | 0.67 |" in text
    assert "| best F1 | 0.35 | 0.7 | 0.8 | 0.75 |" in text
    assert "| `age` | 0.2 | 0.02 |" in text
    assert "counts as missing in 3 rows" in text
    assert "`019b`" in text
    assert f"`{'ab' * 32}`" in text


def test_other_readers_of_a_public_model_get_no_values_and_no_lineage() -> None:
    text = card.markdown(replace(VERSION, is_own=False), BINARY)

    assert "`accuracy`" in text
    for secret in ("Warnings", "counts as missing", "Lineage", "019a", "019b"):
        assert secret not in text


def test_an_uploaded_version_has_a_card_without_data() -> None:
    text = card.markdown(replace(VERSION, metrics={}, columns=None, params={}), None)

    assert "The file does not name its input columns." in text
    assert "## Data" not in text
    assert "## Metrics" not in text


def test_a_regression_has_its_own_metrics() -> None:
    text = card.markdown(replace(VERSION, task=Task.REGRESSION, classes=None, metrics={"r2": 0.7}), NUMBERS)

    assert "| `r2` | 0.7 |" in text
    assert "Confusion matrix" not in text


@pytest.mark.parametrize(
    "name", ["a|b", "a`b", "a\nb", "<script>", "[x](javascript:alert)", "``|``", "# head", "  "]
)
def test_names_of_columns_and_classes_cannot_change_the_layout(name: str) -> None:
    report = replace(BINARY, target=name, warnings=(f"{name!r}: {name}",))
    version = replace(VERSION, columns=(InputColumn(name, "text"),), classes=("no", name))

    text = card.markdown(version, report)

    lines = text.splitlines()
    assert sum(line.startswith("#") for line in lines) == 11
    row = next(line for line in lines if line.endswith("| text |"))
    assert row.replace("\\|", "").count("|") == 3
    outside_code = [piece for line in lines for piece in line.split("`")[::2]]
    assert not any("<script>" in piece or "](" in piece for piece in outside_code)


def test_long_tables_are_cut() -> None:
    columns = tuple(InputColumn(f"c{index}", "number") for index in range(100))

    text = card.markdown(replace(VERSION, columns=columns), None)

    assert text.count("| number |") == card.MAX_ROWS
    assert "70 more in the report." in text
