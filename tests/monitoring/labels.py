"""Which labels the result of a PromQL expression has, from those of the metrics that it selects."""

import re
from collections.abc import Collection
from typing import Final

import promql_parser
from promql_parser import AggModifierType

from tests.monitoring import names

SETS: Final = frozenset({"and", "unless"})
KEEPS_LABELS: Final = frozenset({"topk", "bottomk"})


class UnknownName(Exception):
    """A metric, or a label of it, that does not exist."""


def in_legend(legend: str) -> set[str]:
    """The labels that a legend names."""
    return set(re.findall(r"\{\{(\w+)\}\}", legend))


def selectors(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    """Everything that the expression selects."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(expression, visit)
    return found


def of(expression: promql_parser.Expr) -> frozenset[str]:
    """The labels that the result may have. Raises UnknownName."""
    match expression:
        case promql_parser.VectorSelector():
            return _of_selector(expression)
        case promql_parser.MatrixSelector():
            return _of_selector(expression.vector_selector)
        case promql_parser.AggregateExpr():
            return _of_aggregate(expression)
        case promql_parser.BinaryExpr():
            return _of_binary(expression)
        case promql_parser.Call():
            return _of_call(expression)
        case promql_parser.ParenExpr() | promql_parser.SubqueryExpr() | promql_parser.UnaryExpr():
            return of(expression.expr)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return frozenset()
        case _:
            raise AssertionError(f"an unknown kind of expression: {expression}")


def _of_selector(selector: promql_parser.VectorSelector) -> frozenset[str]:
    series = names.known().get(selector.name or "")
    if series is None:
        raise UnknownName(f"no metric {selector.name}")
    _check({matcher.name for matcher in selector.matchers.matchers}, series.labels, selector.name)
    return series.labels


def _of_aggregate(aggregate: promql_parser.AggregateExpr) -> frozenset[str]:
    inner = of(aggregate.expr)
    if aggregate.modifier is None:
        return inner if str(aggregate.op) in KEEPS_LABELS else frozenset()
    listed = frozenset(aggregate.modifier.labels)
    _check(listed, inner, aggregate.op)
    return inner - listed if aggregate.modifier.type == AggModifierType.Without else listed


def _of_call(call: promql_parser.Call) -> frozenset[str]:
    found = frozenset[str]().union(*(of(argument) for argument in call.args))
    if call.func.name != "histogram_quantile":
        return found
    _check({"le"}, found, call.func.name)
    return found - {"le"}


def _of_binary(binary: promql_parser.BinaryExpr) -> frozenset[str]:
    left, right = of(binary.lhs), of(binary.rhs)
    operator = str(binary.op)
    modifier = binary.modifier
    if modifier is not None and modifier.matching is not None:
        matched = modifier.matching.labels
        _check(matched, left, f"on the left of {operator}")
        _check(matched, right, f"on the right of {operator}")
        _check(modifier.group_labels or (), right, f"group_left of {operator}")
        left |= frozenset(modifier.group_labels or ())
    if operator == "or":
        return left | right
    return left if left or operator in SETS else right


def _check(wanted: Collection[str], there: frozenset[str], where: object) -> None:
    for name in set(wanted) - there:
        raise UnknownName(f"no label {name} ({where})")
