"""Small changes of a rule's expression and duration, each of which a case must notice."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.monitoring.rules import Rule

_QUOTED: Final = re.compile(r'"[^"]*"')
_BRACES: Final = re.compile(r"\{[^}]*\}")
_NUMBER: Final = re.compile(r"(?<![\w.:])\d+(?:\.\d+)?(?![\w.\])])")
_COMPARISON: Final = re.compile(r"==|!=|>=|<=|>|<")
_MATCHER: Final = re.compile(r"(?<=\w)(=~|!~|!=|=)(?=\")")

_OPPOSITE: Final = {
    "==": "!=",
    "!=": "==",
    ">=": "<",
    "<=": ">",
    ">": "<",
    "<": ">",
    "=": "!=",
    "=~": "!~",
    "!~": "=~",
}


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Yield the rule with each threshold scaled both ways, each comparison and each matcher turned round.

    An alert that waits also loses its duration, and has it doubled.
    """
    quoted = _spans(_QUOTED, rule.expr)
    matched = _spans(_BRACES, rule.expr)
    for number in _NUMBER.finditer(rule.expr):
        if not _is_within(number, quoted):
            for other in _scaled(float(number[0])):
                yield _changed(rule, number, f"{other:g}")
    for comparison in _COMPARISON.finditer(rule.expr):
        if not _is_within(comparison, matched):
            yield _changed(rule, comparison, _OPPOSITE[comparison[0]])
    for matcher in _MATCHER.finditer(rule.expr):
        yield _changed(rule, matcher, _OPPOSITE[matcher[0]])
    if rule.lasts:
        yield "at once", replace(rule, lasts="")
        yield "twice as long", replace(rule, lasts=_twice(rule.lasts))


def _scaled(number: float) -> tuple[float, ...]:
    return (number * 0.5, number * 1.5) if number else (1.0,)


def _twice(duration: str) -> str:
    return f"{2 * int(duration[:-1])}{duration[-1]}"


def _changed(rule: Rule, what: re.Match[str], text: str) -> tuple[str, Rule]:
    line = rule.expr[: what.start()].count("\n") + 1
    expr = f"{rule.expr[: what.start()]}{text}{rule.expr[what.end() :]}"
    return f"{what[0]} → {text} at {what.start()}, line {line}", replace(rule, expr=expr)


def _spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text)]


def _is_within(match: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    return any(start <= match.start() < end for start, end in spans)
