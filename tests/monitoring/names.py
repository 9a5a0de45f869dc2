"""Metrics and labels that a query may name: ours, those of the rules, and those of others."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from app.core import metrics
from tests.support.processes import ROOT

RULES: Final = ROOT / "k8s" / "components" / "monitoring" / "rules.yaml"

OF_A_TARGET: Final = frozenset({"job", "instance", "namespace", "pod", "container"})
"""Labels that Prometheus adds when it scrapes."""

OF_OTHERS: Final = {
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "process_resident_memory_bytes": OF_A_TARGET,
    "kube_horizontalpodautoscaler_status_desired_replicas": OF_A_TARGET | {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": OF_A_TARGET | {"horizontalpodautoscaler"},
}


@dataclass(frozen=True)
class Series:
    """The series of one name: their labels, and whether they only grow."""

    labels: frozenset[str]
    is_counter: bool = False


@cache
def known() -> dict[str, Series]:
    """Every series that a query may name."""
    others = {name: Series(labels | OF_A_TARGET) for name, labels in OF_OTHERS.items()}
    return dict(_ours()) | dict(_recorded()) | others


def _ours() -> Iterator[tuple[str, Series]]:
    """The series of `app/core/metrics.py`."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            yield from _series_of(metric)


def _series_of(metric: MetricWrapperBase) -> Iterator[tuple[str, Series]]:
    labels = frozenset(metric._labelnames) | OF_A_TARGET
    name = metric._name
    match metric:
        case Counter():
            yield f"{name}_total", Series(labels, is_counter=True)
        case Gauge():
            yield name, Series(labels)
        case Histogram():
            yield f"{name}_bucket", Series(labels | {"le"}, is_counter=True)
            yield f"{name}_sum", Series(labels, is_counter=True)
            yield f"{name}_count", Series(labels, is_counter=True)
        case _:
            raise AssertionError(f"{name} is of an unknown type")


def _recorded() -> Iterator[tuple[str, Series]]:
    """The series of the recording rules: labels that their expression groups by, and those that they add."""
    for group in _load(RULES)["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                labels = _grouped(promql_parser.parse(rule["expr"])) | set(rule.get("labels", ()))
                yield rule["record"], Series(frozenset(labels))


def _grouped(expression: promql_parser.Expr) -> set[str]:
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql_parser.walk(expression, visit)
    return found


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
