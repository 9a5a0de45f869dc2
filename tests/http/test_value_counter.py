"""The number of values of a JSON text is known before it is parsed."""

import json
import random
import time
from itertools import pairwise
from typing import Any

import pytest

from app.http.value_counter import PIECE_BYTES, ValueCounter


def counted(text: bytes, cuts: list[int] | None = None) -> int:
    counter = ValueCounter()
    edges = [0, *(cuts or []), len(text)]
    for start, end in pairwise(edges):
        counter.take(text[start:end])
    return counter.values


def values_of(value: Any) -> int:
    """What the counter promises: each value, and one more for an array or object that is empty."""
    if isinstance(value, dict):
        return 1 + (sum(map(values_of, value.values())) or 1)
    if isinstance(value, list):
        return 1 + (sum(map(values_of, value)) or 1)
    return 1


TEXTS = [
    "1",
    "[]",
    "{}",
    "[1,2,3]",
    '["a,b","c[d","{"]',
    r'["a\"b,c","\\",",\\\"[",2]',
    '{"a":{"b":[1,{"c":null}]},"d,e":"x"}',
    '[[],[],{},""]',
    r'{"\\\"":"\\\\",",":[",","\""]}',
    json.dumps({"texts": ['Übung, "so" [nicht]', "\\", "a\\\\"]}),
]


@pytest.mark.parametrize("text", TEXTS)
def test_each_value_counts_and_nothing_inside_of_a_string(text: str) -> None:
    assert counted(text.encode()) == values_of(json.loads(text))


@pytest.mark.parametrize("text", TEXTS)
def test_it_does_not_matter_how_a_text_is_cut(text: str) -> None:
    whole = text.encode()
    chance = random.Random(1)
    for _ in range(200):
        cuts = sorted(chance.choices(range(len(whole) + 1), k=3))
        assert counted(whole, cuts) == counted(whole), cuts


@pytest.mark.parametrize("text", [b"[" * 1000, b"{" * 1000, b"," * 1000, b'""' * 4000])
def test_what_is_not_json_is_not_small(text: bytes) -> None:
    assert counted(text) >= 1000


@pytest.mark.parametrize(
    ("text", "is_huge"), [(b"9" * 400, True), (b"9" * 399, False), (b'"' + b"9" * 500 + b'"', False)]
)
def test_a_number_of_many_digits_is_noticed(text: bytes, is_huge: bool) -> None:
    counter = ValueCounter()
    counter.take(b"[" + text + b"]")

    assert counter.has_huge_number is is_huge


def test_long_numbers_take_no_longer_than_short_ones() -> None:
    assert seconds_to_count(b"9" * 399 + b",") < 10 * seconds_to_count(b"9,")


def seconds_to_count(part: bytes) -> float:
    text = part * (PIECE_BYTES // len(part))

    def once() -> float:
        before = time.thread_time()
        ValueCounter().take(text)
        return time.thread_time() - before

    return min(once() for _ in range(5))
