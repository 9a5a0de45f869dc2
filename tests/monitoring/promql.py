"""Which metrics an expression reads, and which labels its result has."""

from collections.abc import Iterator, Mapping, Set
from typing import Final

import promql_parser as promql
import pytest
from prometheus_client import Counter, Gauge, Histogram

from app.core import metrics
from tests.monitoring.rules import RECORDINGS

TARGET: Final = frozenset({"namespace", "pod", "instance", "container", "job"})
"""Labels that Prometheus adds when it scrapes."""

_OF_KUBERNETES: Final = {
    "kube_job_failed": {"namespace", "job_name", "condition"},
    "kube_horizontalpodautoscaler_status_current_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
    "kube_pod_container_status_last_terminated_reason": {"namespace", "pod", "container", "reason"},
}
"""The metrics of kube-state-metrics that the rules read."""


class UnknownName(Exception):
    """An expression names a metric or a label that does not exist."""


def own_series() -> dict[str, frozenset[str]]:
    """The series of `app.core.metrics`, each with its labels."""
    found: dict[str, frozenset[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, Counter | Gauge | Histogram):
            continue
        (family,) = metric.describe()
        labels = frozenset(metric._labelnames)
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = labels
            case "histogram":
                found[f"{family.name}_bucket"] = labels | {"le"}
                found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            case _:
                found[family.name] = labels
    return found


def known_series() -> dict[str, frozenset[str]]:
    """Every series that a rule may read, with its labels."""
    found = {name: labels | TARGET for name, labels in own_series().items()}
    found |= {name: frozenset(labels) for name, labels in _OF_KUBERNETES.items()}
    for rule in RECORDINGS:
        found[rule.name] = labels_of(promql.parse(rule.expr), found) | rule.labels.keys()
    return found


def selectors(expr: promql.Expr) -> Iterator[promql.VectorSelector]:
    """Yield every selector of an expression."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(expr, visit)
    return iter(found)


def labels_of(expr: promql.Expr, known: Mapping[str, Set[str]]) -> frozenset[str]:
    """Return the labels of the result. Raise UnknownName for a metric or label that does not exist."""
    match expr:
        case promql.VectorSelector():
            return _of_selector(expr, known)
        case promql.MatrixSelector():
            return _of_selector(expr.vector_selector, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return labels_of(expr.expr, known)
        case promql.AggregateExpr():
            return _of_aggregation(expr, known)
        case promql.BinaryExpr():
            return _of_operation(expr, known)
        case promql.Call():
            return _of_call(expr, known)
        case promql.NumberLiteral() | promql.StringLiteral():
            return frozenset()
    # The parser's types are open: its next version may add one, whose labels must not pass unchecked.
    pytest.fail(f"promql.py does not know the labels of {expr.prettify()}")


def _of_selector(selector: promql.VectorSelector, known: Mapping[str, Set[str]]) -> frozenset[str]:
    if selector.name is None or selector.name not in known:
        raise UnknownName(selector.name)
    labels = frozenset(known[selector.name])
    _require({matcher.name for matcher in selector.matchers.matchers}, labels, selector)
    return labels


def _of_aggregation(expr: promql.AggregateExpr, known: Mapping[str, Set[str]]) -> frozenset[str]:
    inner = labels_of(expr.expr, known)
    if expr.modifier is None:
        return inner if str(expr.op) in ("topk", "bottomk") else frozenset()
    named = frozenset(expr.modifier.labels)
    _require(named, inner, expr)
    return named if expr.modifier.type == promql.AggModifierType.By else inner - named


def _of_operation(expr: promql.BinaryExpr, known: Mapping[str, Set[str]]) -> frozenset[str]:
    left, right = labels_of(expr.lhs, known), labels_of(expr.rhs, known)
    matching = expr.modifier.matching if expr.modifier is not None else None
    either = left | right if str(expr.op) == "or" else left or right
    if expr.modifier is None or matching is None:
        return either
    on, copied = frozenset(matching.labels), frozenset(expr.modifier.group_labels or ())
    _require(on, left, expr)
    _require(on | copied, right, expr)
    return either | copied


def _of_call(call: promql.Call, known: Mapping[str, Set[str]]) -> frozenset[str]:
    of_arguments = [labels_of(argument, known) for argument in call.args]
    match call.func.name:
        case "absent":
            (selector,) = selectors(call)
            return frozenset(matcher.name for matcher in selector.matchers.matchers)
        case "histogram_quantile":
            _require({"le"}, of_arguments[1], call)
            return of_arguments[1] - {"le"}
    return frozenset().union(*of_arguments)


def _require(named: Set[str], there: Set[str], where: promql.Expr) -> None:
    if missing := named - there:
        raise UnknownName(f"{', '.join(sorted(missing))} in {where.prettify()}")
