"""The places where a process can be told to die."""

import pytest

from app.core import failpoints


def test_without_the_variable_nothing_happens_anywhere() -> None:
    assert failpoints.parse("") == {}
    failpoints.reach("advance:before")


def test_several_can_be_asked_for_each_with_its_round() -> None:
    asked = failpoints.parse("advance:before=kill@3,claim:after=stop")
    assert {name: (point.signal.name, point.hits_left) for name, point in asked.items()} == {
        "advance:before": ("SIGKILL", 3),
        "claim:after": ("SIGSTOP", 1),
    }


@pytest.mark.parametrize("text", ["advance:before", "advance:before=explode", "advance:before=kill@soon"])
def test_what_is_no_failpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"FAILPOINTS|invalid literal"):
        failpoints.parse(text)
