"""The text of a key: one spelling, recognised by secret scanners, and checked without a query."""

import re
from pathlib import Path
from uuid import uuid4

import pytest

from app.auth.api_keys import key_format

DOCS = Path(__file__).parents[3] / "docs" / "security.md"


def test_a_key_names_its_id() -> None:
    key_id = uuid4()

    assert key_format.id_of(key_format.new_key(key_id)) == key_id


def test_two_keys_with_one_id_differ() -> None:
    key_id = uuid4()

    assert key_format.new_key(key_id) != key_format.new_key(key_id)


def test_the_documented_expression_finds_a_key_in_any_text() -> None:
    [documented] = re.findall(r"^\s*(\S*hr_\[\S+)$", DOCS.read_text(), re.MULTILINE)
    key = key_format.new_key(uuid4())

    assert re.findall(documented, f'curl -H "Authorization: Bearer {key}" …') == [key]
    assert re.findall(documented, f"x{key} {key}x {key[:-1]}") == []


def test_no_change_of_one_character_is_a_key() -> None:
    key = key_format.new_key(uuid4())
    others = [
        key[:position] + other + key[position + 1 :]
        for position in range(len(key))
        for other in "0aZ_"
        if other != key[position]
    ]

    assert len(others) > 200
    assert [text for text in others if key_format.id_of(text) is not None] == []


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda key: f"{key}\n",
        lambda key: f" {key}",
        lambda key: f"{key}=",
        lambda key: key[:-1],
        lambda key: key + key,
        lambda key: key.replace("hr_", "hr-"),
        lambda key: key.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
        lambda key: "hr_" + "x" * 1_000_000,
        lambda key: "hr_",
        lambda key: "",
        lambda key: "\ud800" + key,
    ],
)
def test_a_key_has_one_spelling(change: object) -> None:
    assert callable(change)

    assert key_format.id_of(change(key_format.new_key(uuid4()))) is None


def test_only_the_whole_key_has_its_hash() -> None:
    key_id = uuid4()
    key = key_format.new_key(key_id)
    key_hash = key_format.hash_key(key)

    assert key_format.is_key(key, key_hash)
    assert not key_format.is_key(key_format.new_key(key_id), key_hash)
    assert len(key_hash) == 32
    assert key.encode() not in key_hash
