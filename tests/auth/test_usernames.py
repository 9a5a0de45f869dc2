"""When two names are one."""

import pytest

from app.auth import usernames


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada", "ADA"),
        ("ada", " ada "),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("ａｄａ", "ada"),
        ("ﬁona", "FIONA"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert usernames.key(one) == usernames.key(other)


@pytest.mark.parametrize(("one", "other"), [("ada", "adа"), ("ada", "ada1"), ("a b", "ab")])
def test_names_of_two_people(one: str, other: str) -> None:
    assert usernames.key(one) != usernames.key(other)


def test_a_name_is_shown_as_it_was_chosen() -> None:
    assert usernames.accept("  Ada Lovelace ") == "Ada Lovelace"
