"""A large value is encoded in pieces, and the JSON is the same."""

import random
from typing import Any

import msgspec
import pytest

from app.http import serializing
from app.http.offloading import offloading

SCALARS = [0, -2.5, 1e300, True, None, "", "é", "🙂", '"', "\\", "x" * 20]
NAMES = ["", "b", "a", "é", '"', "z" * 20, "🙂", "\uffff"]


def some_value(made: random.Random, depth: int = 0) -> Any:
    choice = made.random()
    if depth > 6 or choice < 0.4:
        return made.choice(SCALARS)
    values = [some_value(made, depth + 1) for _ in range(made.randrange(6))]
    return values if choice < 0.7 else {made.choice(NAMES): value for value in values}


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("is_sorted", [False, True])
def test_the_pieces_together_are_the_whole(seed: int, is_sorted: bool) -> None:
    made = random.Random(seed)
    for _ in range(20):
        value = some_value(made)
        limit = made.choice([0, 1, 10, 30])

        pieces = serializing.in_pieces(value, is_sorted=is_sorted, piece_characters=limit)

        assert b"".join(pieces) == msgspec.json.encode(value, order="sorted" if is_sorted else None)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_value_has_the_same_json_whatever_the_size_of_the_body(is_large: bool) -> None:
    value = [{"text": "é" * 300_000, "id": 1}, {"text": ["b"] * 1000, "a": 2}]

    with offloading(is_large):
        assert serializing.encode(value) == msgspec.json.encode(value)
        assert b"".join(serializing.encode_sorted(value)) == msgspec.json.encode(value, order="sorted")


def test_no_piece_is_larger_than_the_limit_but_for_a_single_string() -> None:
    row = {"name": "a" * 50, "parts": ["b" * 30] * 100, "more": {"c": "d" * 500}}

    pieces = list(serializing.in_pieces([row] * 20, piece_characters=200))

    assert max(map(len, pieces)) < 600
    assert len(pieces) < 20 * 100
