"""The rules of the drill are those that we ship, but for their times."""

import re

import promql_parser
import pytest

from tests.monitoring.rules import shipped
from tests.monitoring.shortened import shorten, shortened

TIMES = re.compile(r"(?<=\[)\w+(?=\])|(?<=offset )\w+")


@pytest.mark.parametrize(
    ("expression", "shorter"),
    [
        ("rate(a_total[5m]) > 0.05", "rate(a_total[5s]) > 0.05"),
        ("increase(a_total[2h]) == 0", "increase(a_total[2m]) == 0"),
        ("a - a offset 1h > 20", "a - a offset 1m > 20"),
        ("rate(a_total[1m])", "rate(a_total[5s])"),
        ("rate(a_total[3s])", "rate(a_total[3s])"),
        ("a:rate5m > 3600", "a:rate5m > 3600"),
    ],
)
def test_times_become_shorter_and_nothing_else(expression: str, shorter: str) -> None:
    assert shorten(expression, 60) == shorter


def test_all_other_words_of_every_rule_stay() -> None:
    before, after = shipped(), shortened(shipped(), factor=60)

    for group, faster in zip(before["groups"], after["groups"], strict=True):
        assert faster["interval"] == "1s"
        for rule, shorter in zip(group["rules"], faster["rules"], strict=True):
            promql_parser.parse(shorter["expr"])
            assert TIMES.sub("", rule.pop("expr")) == TIMES.sub("", shorter.pop("expr"))
            assert ("for" in rule) == ("for" in shorter)
            assert {**rule, "for": None} == {**shorter, "for": None}


def test_every_wait_is_a_sixtieth() -> None:
    waits = {
        rule["alert"]: rule["for"]
        for group in shortened(shipped(), factor=60)["groups"]
        for rule in group["rules"]
        if "for" in rule
    }

    assert waits["HeadraceNoWorkers"] == "5s"
    assert waits["HeadraceLeaseLate"] == "500ms"
    assert waits["HeadracePostgresAway"] == "1s"
