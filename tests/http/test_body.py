"""What Postgres and JSON could not hold does not come in."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.http.body import MAX_DEPTH, CleanJson, CleanObject, CleanSecret, CleanStr, StrictBody

text = TypeAdapter(CleanStr)
secret = TypeAdapter(CleanSecret)
json_value = TypeAdapter(CleanJson)
json_object = TypeAdapter(CleanObject)


class Payload(StrictBody):
    rate: float = 0.0


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("clean", ["", "plain", "zażółć gęślą jaźń", "日本語", "🙂", "line\nbreak\ttab"])
def test_text_comes_in_unchanged(clean: str) -> None:
    assert text.validate_python(clean) == clean
    assert secret.validate_python(clean).get_secret_value() == clean


@pytest.mark.parametrize("unclean", ["\0", "a\0b", "\ud800", "ok\udfff", "🙂\ud83d"])
def test_nul_and_lone_surrogates_do_not(unclean: str) -> None:
    for adapter in (text, secret, json_value):
        with pytest.raises(ValidationError, match="NUL"):
            adapter.validate_python(unclean)


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter22" not in repr(secret.validate_python("hunter22"))


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**63 - 1, 1.5, "text", [], {}, {"a": [1, {"b": None}]}, nested(MAX_DEPTH)],
)
def test_json_values_come_in_unchanged(value: Any) -> None:
    assert json_value.validate_python(value) == value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (float("nan"), "finite_number"),
        (float("inf"), "finite_number"),
        ([1, {"a": float("-inf")}], "finite_number"),
        (2**63, "integer_size"),
        ({"a": -(2**63) - 1}, "integer_size"),
        ({"a": ["\0"]}, "unclean_text"),
        ({"\ud800": 1}, "unclean_text"),
        (nested(MAX_DEPTH + 1), "too_deep"),
        (nested(100_000), "too_deep"),
    ],
)
def test_what_cannot_be_stored_is_refused(value: Any, fault: str) -> None:
    with pytest.raises(ValidationError) as refused:
        json_value.validate_python(value)

    assert refused.value.errors(include_input=False)[0]["type"] == fault


def test_an_object_is_an_object() -> None:
    assert json_object.validate_python({"a": 1}) == {"a": 1}
    with pytest.raises(ValidationError):
        json_object.validate_python([1])


def test_a_strict_body_takes_no_other_fields_and_no_infinity() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Payload.model_validate({"rate": 1.0, "owner_id": "me"})
    with pytest.raises(ValidationError, match="finite"):
        Payload.model_validate({"rate": float("nan")})
