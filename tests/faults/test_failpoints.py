"""Failpoints: parsing, and no effect without the variable."""

import pytest

from app.core import failpoints


def test_without_the_variable_failpoints_have_no_effect() -> None:
    assert failpoints.parse("") == {}
    failpoints.reach("advance:before")


def test_several_failpoints_can_be_set_each_with_a_hit_count() -> None:
    parsed = failpoints.parse("advance:before=kill@3,claim:after=stop")
    assert {name: (point.signal.name, point.hits_left) for name, point in parsed.items()} == {
        "advance:before": ("SIGKILL", 3),
        "claim:after": ("SIGSTOP", 1),
    }


@pytest.mark.parametrize("text", ["advance:before", "advance:before=explode", "advance:before=kill@soon"])
def test_an_invalid_failpoint_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"FAILPOINTS|invalid literal"):
        failpoints.parse(text)
