"""A large JSON text is parsed in pieces: the value is the same, and a fault is found at the same place."""

import asyncio
import json
from typing import Any

import pytest

from app.http import parsing
from app.http.parsing import MAX_DEPTH, MAX_INDIVISIBLE_BYTES, PIECE_BYTES, Indivisible, NotJson

FILLER = " " * PIECE_BYTES
LONG = "y" * PIECE_BYTES


def parse(text: str | bytes) -> Any:
    return asyncio.run(parsing.parse(bytearray(text.encode() if isinstance(text, str) else text)))


@pytest.mark.parametrize(
    "value",
    [
        {"texts": [LONG, "a", '"', "\\", "é", "🙂" * 1000, ""]},
        [LONG, {"a": [LONG, {"b": [None, True, False, 1, -2.5, 1e300]}]}, [], {}],
        {"a": {"b": {"c": [LONG, LONG]}}, "d": 12345678901234567890123},
        {"": "", " ": LONG, "é": [LONG]},
        "a" * (MAX_INDIVISIBLE_BYTES - 2),
        [[0] * 600_000, [1]],
    ],
    ids=["texts", "lists", "objects", "names", "a string", "numbers"],
)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_the_value_is_that_of_the_whole_text(value: Any, is_ascii: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=is_ascii)) == value


def test_the_last_of_two_members_with_the_same_name_counts() -> None:
    assert parse(f'{{"a": 1, {FILLER} "b": 2, "a": 3}}') == {"a": 3, "b": 2}


@pytest.mark.parametrize("before", ["", FILLER], ids=["small", "large"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[1,\n2, x]", "line 2 column"),
        ('["a",\n\n"b\\q"]', "line 3 column"),
        ('{"a": [1],\n"b": [01]}', "line 2 column"),
        ('{"a": 1,\n"b"}', "line 2 column"),
        ("[1]\n]", "line 2 column"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, place: str, before: str) -> None:
    with pytest.raises(NotJson, match=place):
        parse(before + text)


def test_a_fault_within_a_piece_is_found_in_the_whole_text() -> None:
    """The content of a string is looked at only once the pieces are apart."""
    text = b'["%b",\n"a",\n"\xff", 1]' % LONG.encode()

    with pytest.raises(NotJson, match="line 3 column"):
        parse(text)


@pytest.mark.parametrize("text", [f'["{LONG}"', f'["{LONG}", "\\ud800"]', f'{{"a": "{LONG}'])
def test_what_is_incomplete_is_called_so(text: str) -> None:
    with pytest.raises(NotJson, match="incomplete"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        f'"{"a" * MAX_INDIVISIBLE_BYTES}"',
        f'{{"a": ["{"b" * MAX_INDIVISIBLE_BYTES}"]}}',
        FILLER * 2 + f'["{"b" * MAX_INDIVISIBLE_BYTES}"]',
        "[" * (MAX_DEPTH + 1) + f'"{LONG}",' * 5 + "1" + "]" * (MAX_DEPTH + 1),
        '{"a":' * MAX_DEPTH + f'{{"b": ["{LONG}","{LONG}","{LONG}","{LONG}"]}}' + "}" * MAX_DEPTH,
    ],
    ids=["a string", "a string within", "behind spaces", "lists", "objects"],
)
def test_a_value_that_would_hold_others_up_is_refused(text: str) -> None:
    with pytest.raises(Indivisible):
        parse(text)


def test_what_lies_deep_and_is_not_large_is_parsed() -> None:
    value: Any = [LONG, LONG]
    for _ in range(2 * MAX_DEPTH):
        value = [value]

    assert parse(json.dumps(value)) == value


def test_strings_one_after_the_other_are_no_long_string() -> None:
    with pytest.raises(NotJson):
        parse('""' * MAX_INDIVISIBLE_BYTES)


@pytest.mark.parametrize("before", ["", FILLER], ids=["small", "large"])
def test_what_is_nested_too_deeply_is_refused(before: str) -> None:
    with pytest.raises(NotJson):
        parse(before + "[" * 5000 + "]" * 5000)
