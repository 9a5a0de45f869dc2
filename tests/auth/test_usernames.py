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


@pytest.mark.parametrize(
    "invisible",
    [
        *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200d\u202e\u2060\u2800\u3164",
        *"\ufe00\ufe0f\ufeff\uffa0\U0001d159\U0001d173\U00016fe4\U000e0020\U000e0100\U000e0fff",
    ],
    ids=lambda character: f"U+{ord(character):04X}",
)
@pytest.mark.parametrize("name", ["{}", "ada{}", "a{}da", "{}ada"])
def test_nothing_that_cannot_be_seen_is_part_of_a_name(name: str, invisible: str) -> None:
    with pytest.raises(ValueError, match="username"):
        usernames.accept(name.format(invisible))


@pytest.mark.parametrize("name", ["\u0301", "\u0301\u0316", "\u20dd"])
def test_marks_alone_are_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="combining marks"):
        usernames.accept(name)


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "zażółć", "日本", "🙂", "नमस्ते", "한글"])
def test_names_of_all_scripts_are_names(name: str) -> None:
    assert usernames.accept(name) == name
