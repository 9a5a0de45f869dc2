"""The rules that we ship, faster: the same expressions and thresholds over shorter times."""

import re
from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

import promql_parser

Json = dict[str, Any]

SHORTEST_RANGE: Final = timedelta(seconds=5)
"""Five scrapes: a rate needs two of them."""

_DURATION: Final = r"\d+(?:ms|[smhdwy])"
_RANGE: Final = re.compile(rf"(?<=\[){_DURATION}(?=\])")
_OFFSET: Final = re.compile(rf"(?<=offset ){_DURATION}")


def shortened(rules: Json, *, factor: float, interval: str = "1s") -> Json:
    """Return the rules with ranges, offsets and `for` divided by `factor`, evaluated every `interval`."""
    found = deepcopy(rules)
    for group in found["groups"]:
        group["interval"] = interval
        for rule in group["rules"]:
            rule["expr"] = shorten(rule["expr"], factor)
            if "for" in rule:
                rule["for"] = _divided(rule["for"], factor)
    return found


def shorten(expression: str, factor: float) -> str:
    """Return the expression with its ranges and offsets divided by `factor`."""
    with_ranges = _RANGE.sub(lambda match: _divided(match[0], factor, SHORTEST_RANGE), expression)
    return _OFFSET.sub(lambda match: _divided(match[0], factor, SHORTEST_RANGE), with_ranges)


def _divided(duration: str, factor: float, shortest: timedelta = timedelta()) -> str:
    exact: timedelta = promql_parser.parse_duration(duration)
    divided = max(exact / factor, min(exact, shortest))
    return promql_parser.display_duration(timedelta(milliseconds=round(divided / timedelta(milliseconds=1))))
