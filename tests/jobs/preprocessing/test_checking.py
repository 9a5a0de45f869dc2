"""Steps are checked against the columns as a whole: what does not fit names the step and the field."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.jobs.kinds.preprocess_dataset import PreprocessDatasetRequest
from app.jobs.preprocessing import checking
from app.jobs.preprocessing.errors import BadStep
from tests.worker.preprocessing.running import plain

COLUMNS = {
    "id": "integer",
    "price": "number",
    "label": "text",
    "is_new": "boolean",
    "day": "date",
    "at": "timestamp",
    "tags": "list",
}
OTHER = {"key": "text", "price": "number", "n": "integer"}
SPLIT = {"step": "split", "parts": [{"name": "a", "fraction": 0.5}, {"name": "b", "fraction": 0.5}]}


def join(**more: Any) -> dict[str, Any]:
    return {"step": "join", "dataset": "other", "on": {"label": "key"}, "suffix": "_other", **more}


def check(*requested: dict[str, Any]) -> dict[str, str]:
    return checking.check(plain(requested), COLUMNS, [OTHER] * len(requested))


def condition(column: str, op: str, **more: Any) -> dict[str, Any]:
    return {"step": "filter", "conditions": [{"column": column, "op": op, **more}]}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"step": "select", "columns": ["label", "id"]}], {"label": "text", "id": "integer"}),
        ([{"step": "rename", "columns": {"id": "label", "label": "id"}}], {"label": "integer", "id": "text"}),
        ([{"step": "cast", "columns": ["label"], "to": "date", "format": "%d.%m.%Y"}], {"label": "date"}),
        ([{"step": "fill", "columns": ["id"], "statistic": "mean"}], {"id": "number"}),
        ([{"step": "fill", "columns": ["id"], "statistic": "most_frequent"}], {"id": "integer"}),
        ([join()], {"price": "number", "price_other": "number", "n": "integer"}),
        ([join(columns=["n"])], {"n": "integer"}),
        ([{"step": "date_parts", "column": "at", "parts": ["hour"]}], {"at_hour": "integer"}),
        (
            [{"step": "map_values", "column": "label", "mapping": {"yes": True}, "others": "null"}],
            {"label": "boolean"},
        ),
        ([{"step": "map_values", "column": "id", "mapping": {"3": 2.5}}], {"id": "number"}),
        ([{"step": "cast", "columns": ["tags"], "to": "text"}, {"step": "deduplicate"}], {"tags": "text"}),
        ([{"step": "sample", "rows": 3}, {**SPLIT, "by": "time", "column": "at"}], {"at": "timestamp"}),
    ],
)
def test_the_columns_of_the_result_are_known_before_the_job(
    steps: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    assert check(*steps).items() >= expected.items()


@pytest.mark.parametrize(
    ("step", "field", "reason"),
    [
        ({"step": "select", "columns": ["labl"]}, "columns", "did you mean 'label'"),
        ({"step": "drop", "columns": ["x"]}, "columns", "no column 'x'"),
        ({"step": "drop", "columns": list(COLUMNS)}, "columns", "no column would be left"),
        ({"step": "rename", "columns": {"id": "label"}}, "columns", "more than one column"),
        ({"step": "rename", "columns": {"id": " "}}, "columns", "has no name"),
        ({"step": "cast", "columns": ["price"], "to": "date"}, "to", "cannot be cast to date"),
        ({"step": "cast", "columns": ["is_new"], "to": "timestamp"}, "to", "cannot be cast"),
        ({"step": "cast", "columns": ["at"], "to": "date", "format": "%Y"}, "format", "casts of text"),
        ({"step": "fill", "columns": ["label"], "statistic": "median"}, "statistic", "for numbers"),
        ({"step": "fill", "columns": ["price"], "value": "cheap"}, "value", "not a valid number"),
        ({"step": "fill", "columns": ["id"], "value": True}, "value", "not a valid integer"),
        ({"step": "fill", "columns": ["day"], "value": "2024-13-01"}, "value", "not a valid date"),
        ({"step": "fill", "columns": ["tags"], "value": "a"}, "columns", "plain values"),
        (condition("lab", "eq", value="a"), "conditions.0.column", "no column"),
        (condition("id", "contains", value="a"), "conditions.0.op", "does not apply"),
        (condition("is_new", "lt", value=True), "conditions.0.op", "does not apply"),
        (condition("tags", "eq", value="a"), "conditions.0.op", "does not apply"),
        (condition("id", "in", value=[1, "b"]), "conditions.0.value", "not a valid integer"),
        (condition("at", "gt", value="soon"), "conditions.0.value", "not a valid timestamp"),
        (condition("label", "matches", value="("), "conditions.0.value", "pattern is not valid"),
        (condition("label", "matches", value="a" * 1001), "conditions.0.value", "longer than"),
        ({"step": "deduplicate", "columns": ["x"]}, "columns", "no column"),
        (join(on=["label"]), "on", "the other dataset has no column 'label'"),
        (join(on={"id": "key"}), "on", "'key' is text"),
        (join(on={"x": "key"}), "on", "no column 'x'"),
        (join(columns=["x"]), "columns", "the other dataset has no column"),
        (join(suffix=""), "suffix", "more than one column would be called 'price'"),
        ({"step": "date_parts", "column": "label", "parts": ["day"]}, "column", "cast it first"),
        ({"step": "date_parts", "column": "day", "parts": ["hour"]}, "parts", "which has no hour"),
        (
            {"step": "date_parts", "column": "day", "parts": ["day"], "prefix": "id_"},
            None,
            None,
        ),
        ({"step": "normalize_text", "columns": ["id"]}, "columns", "not text"),
        ({"step": "map_values", "column": "tags", "mapping": {"a": 1}}, "column", "plain values"),
        ({"step": "map_values", "column": "id", "mapping": {"1": "a", "2": 3}}, "mapping", "one type"),
        ({"step": "map_values", "column": "label", "mapping": {"a": 1}}, "others", "another type"),
        ({**SPLIT, "by": "group", "column": "tags"}, "column", "plain values"),
        ({**SPLIT, "by": "time", "column": "label"}, "column", "cast it first"),
        ({**SPLIT, "by": "stratified", "column": "x"}, "column", "no column"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_step_and_the_field(
    step: dict[str, Any], field: str | None, reason: str | None
) -> None:
    if field is None or reason is None:
        assert check(step)
        return
    first = {"step": "deduplicate"}
    with pytest.raises(BadStep) as refused:
        check(first, step)

    facts = refused.value.facts
    assert (facts["step"], facts["name"], facts["field"]) == (2, step["step"], field)
    assert reason in facts["reason"]


def test_a_split_is_the_last_step() -> None:
    with pytest.raises(BadStep, match="last step"):
        check(SPLIT, {"step": "deduplicate"})


def test_a_step_sees_the_columns_as_earlier_steps_leave_them() -> None:
    with pytest.raises(BadStep, match="no column 'id'"):
        check({"step": "drop", "columns": ["id"]}, {"step": "cast", "columns": ["id"], "to": "text"})


def test_there_are_at_most_a_thousand_columns() -> None:
    wide = {f"c{n}": "integer" for n in range(998)}
    with pytest.raises(BadStep, match="1001 columns"):
        checking.check(plain([join(suffix="")]), {"label": "text", **wide}, [OTHER])


@pytest.mark.parametrize(
    "step",
    [
        {"step": "fly"},
        {"step": "select", "columns": []},
        {"step": "select", "columns": ["a", "a"]},
        {"step": "fill", "columns": ["a"]},
        {"step": "fill", "columns": ["a"], "value": 1, "statistic": "mean"},
        {"step": "sample"},
        {"step": "sample", "rows": 3, "fraction": 0.5},
        {"step": "sample", "fraction": 1.5},
        {"step": "cast", "columns": ["a"], "to": "date", "format": "%Q"},
        {"step": "filter", "conditions": [{"column": "a", "op": "eq"}]},
        {"step": "filter", "conditions": [{"column": "a", "op": "in", "value": 3}]},
        {"step": "filter", "conditions": [{"column": "a", "op": "is_missing", "value": 3}]},
        {"step": "split", "parts": [{"name": "a", "fraction": 0.5}, {"name": "b", "fraction": 0.4}]},
        {"step": "split", "parts": [{"name": "a", "fraction": 1.0}]},
        {
            "step": "split",
            "parts": [{"name": "a", "fraction": 0.5}, {"name": "b", "fraction": 0.5}],
            "by": "time",
        },
        {
            "step": "split",
            "parts": [{"name": "a", "fraction": 0.5}, {"name": "b", "fraction": 0.5}],
            "column": "x",
        },
        {"step": "split", "parts": [{"name": "a/b", "fraction": 0.5}, {"name": "b", "fraction": 0.5}]},
        {
            "step": "split",
            "parts": [{"name": "a", "fraction": 0.5}, {"name": "a", "fraction": 0.5}],
        },
        {"step": "join", "on": ["a"]},
    ],
)
def test_a_step_that_says_too_little_or_too_much_is_no_step(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PreprocessDatasetRequest.model_validate({"dataset": "rows", "steps": [step]})


@pytest.mark.parametrize("more", [{}, {"dataset": "a", "dataset_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"}])
def test_a_request_names_one_dataset(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="one of dataset_id and dataset"):
        PreprocessDatasetRequest.model_validate({**more, "steps": [{"step": "deduplicate"}]})


def test_a_request_has_at_most_five_joins() -> None:
    with pytest.raises(ValidationError, match="at most 5 joins"):
        PreprocessDatasetRequest.model_validate({"dataset": "a", "steps": [join()] * 6})
