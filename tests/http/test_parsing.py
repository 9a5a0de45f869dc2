"""A large JSON text is parsed in pieces: the value is the same, and an error has the same position."""

import asyncio
import json
import random
from typing import Any

import pydantic_core
import pytest

from app.http import parsing
from app.http.parsing import MAX_DEPTH, MAX_INDIVISIBLE_BYTES, PIECE_BYTES, Indivisible, NotJson

FILLER = " " * PIECE_BYTES
LONG = "y" * PIECE_BYTES
QUARTER = "z" * (MAX_INDIVISIBLE_BYTES // 4)

SCALARS = [
    0,
    -2.5,
    12345678901234567890123,
    True,
    None,
    "",
    "é",
    "🙂",
    '"',
    "\\",
    "[,{",
    "]}",
    '\\",',
    "a\nb",
]
NAMES = ["", "a", "b", "é", '"', "\\", "[,", "}"]
EDITS = [
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b":",
    b"0",
    b".5",
    b"\xff",
    b" ",
    b"\n",
    b",,",
    b"[]",
    b"{}",
]


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


def test_an_object_that_is_cut_takes_the_place_of_an_earlier_member_with_its_name() -> None:
    assert parse(f'{{"a": 1, "b": 2, "a": ["{LONG}", 3, {{"c": "{LONG}", "d": 4}}, 5]}}') == {
        "a": [LONG, 3, {"c": LONG, "d": 4}, 5],
        "b": 2,
    }


@pytest.mark.parametrize("seed", range(100))
def test_a_text_cut_anywhere_is_parsed_like_the_whole(seed: int) -> None:
    made = random.Random(seed)
    for _ in range(20):
        text = bytearray(some_json(made, some_value(made)).encode())
        for _ in range(made.choice([0, 0, 1, 2])):
            edit(made, text)

        piece_bytes, window_bytes = made.choice([0, 1, 5, 30]), made.choice([1, 2, 3, 8, 1000])

        assert outcome_in_pieces(text, piece_bytes, window_bytes) == outcome(text), bytes(text)


def some_value(made: random.Random, depth: int = 0) -> Any:
    choice = made.random()
    if depth > 6 or choice < 0.4:
        return made.choice(SCALARS)
    values = [some_value(made, depth + 1) for _ in range(made.randrange(6))]
    return values if choice < 0.7 else {made.choice(NAMES): value for value in values}


def some_json(made: random.Random, value: Any) -> str:
    """The value with spaces, with members that come twice, and with escapes or without."""

    def space() -> str:
        return made.choice(["", "", "", " ", "\n", "\t\r\n"])

    if isinstance(value, list):
        return "[" + ",".join(space() + some_json(made, one) + space() for one in value) + space() + "]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=made.random() < 0.5)
    members = list(value.items())
    if members and made.random() < 0.3:
        members.append((made.choice(members)[0], some_value(made, 4)))
    return "{" + ",".join(f"{json.dumps(k)}{space()}:{space()}{some_json(made, v)}" for k, v in members) + "}"


def edit(made: random.Random, text: bytearray) -> None:
    """Make it something else than JSON, most of the time."""
    place = made.randrange(len(text) + 1)
    match made.randrange(3):
        case 0:
            del text[place : place + made.randrange(1, 4)]
        case 1:
            text[place:place] = made.choice(EDITS)
        case _:
            text[place:place] = text[: made.randrange(len(text) + 1)][-made.randrange(1, 9) :]


def outcome(text: bytearray) -> tuple[str, str]:
    try:
        return "value", json.dumps(pydantic_core.from_json(bytes(text)))
    except ValueError as error:
        return "error", str(error)


def outcome_in_pieces(text: bytearray, piece_bytes: int, window_bytes: int) -> tuple[str, str]:
    try:
        value = parsing.parse_in_pieces(text, piece_bytes=piece_bytes, window_bytes=window_bytes)
        return "value", json.dumps(value)
    except NotJson as error:
        return "error", str(error)


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
    text = b'["%b",\n"a",\n"\xff", 1]' % LONG.encode()

    with pytest.raises(NotJson, match="line 3 column"):
        parse(text)


@pytest.mark.parametrize("text", [f'["{LONG}"', f'["{LONG}", "\\ud800"]', f'{{"a": "{LONG}'])
def test_an_incomplete_text_has_the_error_of_the_whole(text: str) -> None:
    with pytest.raises(NotJson) as raised:
        parse(text)

    assert ("error", str(raised.value)) == outcome(bytearray(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        f'"{"a" * MAX_INDIVISIBLE_BYTES}"',
        f'{{"a": ["{"b" * MAX_INDIVISIBLE_BYTES}"]}}',
        FILLER * 2 + f'["{"b" * MAX_INDIVISIBLE_BYTES}"]',
        "[" * (MAX_DEPTH + 1) + f'"{QUARTER}",' * 5 + "1" + "]" * (MAX_DEPTH + 1),
        '{"a":' * MAX_DEPTH + f'{{"b": ["{QUARTER}","{QUARTER}","{QUARTER}","{QUARTER}"]}}' + "}" * MAX_DEPTH,
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
