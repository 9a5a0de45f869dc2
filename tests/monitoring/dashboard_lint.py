"""The rules of the dashboard, since Grafana itself cannot check it here. Each rule yields complaints."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any, Final

import promql_parser

from tests.monitoring.promql import TARGET, UnknownName, known_series, labels_of, own_series, selectors

Json = dict[str, Any]
Rule = Callable[[Json], Iterator[str]]

IN_A_LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")

UNITS: Final = frozenset({"s", "bytes", "percentunit", "short", "reqps", "cpm"})
"""Names of Grafana's units. Others begin with `suffix:`."""

GRID_WIDTH: Final = 24
SCREEN: Final = 20
"""Lines of the grid on a small screen."""

RATE_INTERVAL: Final = timedelta(seconds=61)
"""Stands for the range that Grafana chooses, and no query has it by itself."""

OF_OTHERS: Final = {
    "ALERTS": TARGET | {"alertname", "alertstate", "severity"},
    "process_resident_memory_bytes": TARGET,
    "kube_horizontalpodautoscaler_status_desired_replicas": TARGET | {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": TARGET | {"horizontalpodautoscaler"},
}
"""The series that only panels read, of Prometheus, its library and kube-state-metrics."""

COUNTERS: Final = frozenset(
    name for name in own_series() if name.endswith(("_total", "_bucket", "_sum", "_count"))
)

RATES: Final = frozenset({"rate", "irate", "increase"})


def panels(dashboard: Json) -> list[Json]:
    """The panels without the headlines of the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Each query of a panel, with the panel's title."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target


def without_variables(expression: str) -> str:
    """The expression as Prometheus takes it, with a range of its own instead of Grafana's."""
    return expression.replace("$__rate_interval", f"{RATE_INTERVAL.seconds}s")


def parsed(dashboard: Json) -> Iterator[tuple[str, Json, promql_parser.Expr]]:
    """Each query of a panel that parses."""
    for title, target in targets(dashboard):
        try:
            yield title, target, promql_parser.parse(without_variables(target["expr"]))
        except ValueError:
            continue  # the rule `parses` reports it


def datasource(dashboard: Json) -> Iterator[str]:
    """Operators choose the Prometheus."""
    for name, item in _with_datasource(dashboard):
        if item.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{name} has a datasource of its own"
    if [_variable(dashboard, "datasource").get(key) for key in ("type", "query")] != [
        "datasource",
        "prometheus",
    ]:
        yield "no variable chooses the datasource"


def _with_datasource(dashboard: Json) -> Iterator[tuple[str, Json]]:
    for panel in panels(dashboard):
        yield panel["title"], panel
    yield from targets(dashboard)
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation
    for name in ("namespace", "queue"):
        yield name, _variable(dashboard, name)


def variables(dashboard: Json) -> Iterator[str]:
    """`All` is any value, and also none, as outside Kubernetes."""
    for name in ("namespace", "queue"):
        variable = _variable(dashboard, name)
        if variable.get("includeAll") is not True or variable.get("allValue") != ".*":
            yield f"the variable {name} has no All that matches everything"
        if variable.get("current", {}).get("value") != ["$__all"]:
            yield f"the variable {name} does not start with All"


def _variable(dashboard: Json, name: str) -> Json:
    for variable in dashboard["templating"]["list"]:
        if variable["name"] == name:
            found: Json = variable
            return found
    return {}


def texts(dashboard: Json) -> Iterator[str]:
    """Each panel says what it shows, in a sentence, and in which unit."""
    for panel in dashboard["panels"]:
        if not panel.get("title"):
            yield f"panel {panel['id']} has no title"
    for panel in panels(dashboard):
        if not panel.get("description", "").endswith("."):
            yield f"{panel['title']} has no description"
        unit = panel["fieldConfig"]["defaults"].get("unit", "")
        if unit not in UNITS and not unit.removeprefix("suffix:").startswith(" "):
            yield f"{panel['title']} has no unit that Grafana knows: {unit!r}"
    repeated = Counter(panel["title"] for panel in panels(dashboard))
    yield from (f"{title} is there {times} times" for title, times in repeated.items() if times > 1)


def ids(dashboard: Json) -> Iterator[str]:
    """An id names one panel, a letter one query of it, and links find the dashboard."""
    numbers = Counter(panel.get("id") for panel in dashboard["panels"])
    yield from (f"{times} panels have the id {number}" for number, times in numbers.items() if times > 1)
    for panel in panels(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        if len(set(letters)) < len(letters):
            yield f"two queries of {panel['title']} have the same letter"
    if dashboard.get("uid") != "headrace":
        yield "links to the dashboard do not find it"


def grid(dashboard: Json) -> Iterator[str]:
    """Nothing lies on another panel or beside the grid, and the first row fits on a screen."""
    placed = [(panel.get("title"), panel["gridPos"]) for panel in dashboard["panels"]]
    for (one, first), (other, second) in combinations(placed, 2):
        if _overlap(first, second, "x", "w") and _overlap(first, second, "y", "h"):
            yield f"{one} lies on {other}"
    for title, position in placed:
        if position["x"] < 0 or position["w"] <= 0 or position["x"] + position["w"] > GRID_WIDTH:
            yield f"{title} is not on the grid"
    heads = [panel["gridPos"]["y"] for panel in dashboard["panels"] if panel["type"] == "row"]
    if heads[0] != 0 or heads[1] > SCREEN:
        yield "the first row does not fit on a screen"


def _overlap(first: Json, second: Json, start: str, size: str) -> bool:
    return bool(first[start] < second[start] + second[size] and second[start] < first[start] + first[size])


def behaviour(dashboard: Json) -> Iterator[str]:
    """It is not changed by hand, follows what happens, and marks alerts and new versions."""
    if dashboard.get("editable") is not False:
        yield "it is editable"
    if dashboard.get("refresh") != "10s":
        yield "it does not refresh every 10 seconds"
    marks = " ".join(annotation["expr"] for annotation in dashboard["annotations"]["list"])
    for series in ("ALERTS", "headrace_build_info"):
        if series not in marks:
            yield f"no annotation shows {series}"


def parses(dashboard: Json) -> Iterator[str]:
    """Every expression is PromQL, and has a legend."""
    expressions = [(title, target["expr"]) for title, target in targets(dashboard)]
    expressions += [(mark["name"], mark["expr"]) for mark in dashboard["annotations"]["list"]]
    for title, expression in expressions:
        try:
            promql_parser.parse(without_variables(expression))
        except ValueError as error:
            yield f"{title}: {error}"


def rate_interval(dashboard: Json) -> Iterator[str]:
    """Rates cover at least four scrapes, whatever the zoom: Grafana chooses the range."""
    for title, _, expression in parsed(dashboard):
        for call in _calls(expression):
            ranges = [
                argument.range for argument in call.args if isinstance(argument, promql_parser.MatrixSelector)
            ]
            if call.func.name in RATES and ranges != [RATE_INTERVAL]:
                yield f"{title}: the range of {call.func.name} is not $__rate_interval"


def rates(dashboard: Json) -> Iterator[str]:
    """Counters have a rate, and nothing else has."""
    for title, _, expression in parsed(dashboard):
        rated = {
            _name(argument.vector_selector)
            for call in _calls(expression)
            if call.func.name in RATES
            for argument in call.args
            if isinstance(argument, promql_parser.MatrixSelector)
        }
        selected = {_name(selector) for selector in selectors(expression)}
        yield from (f"{title}: the counter {name} has no rate" for name in selected & COUNTERS - rated)
        yield from (f"{title}: {name} has a rate and is no counter" for name in rated - COUNTERS)


def _calls(expression: promql_parser.Expr) -> list[promql_parser.Call]:
    found: list[promql_parser.Call] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.Call):
            found.append(node)

    promql_parser.walk(expression, visit)
    return found


def _name(selector: promql_parser.VectorSelector) -> str:
    return selector.name or ""


def known_names(dashboard: Json) -> Iterator[str]:
    """Every metric and label exists, and every legend names labels that the result has."""
    known = known_series() | OF_OTHERS
    for title, target, expression in parsed(dashboard):
        try:
            result = labels_of(expression, known)
        except UnknownName as error:
            yield f"{title}: no {error}"
            continue
        for name in set(IN_A_LEGEND.findall(target["legendFormat"])) - result:
            yield f"{title}: the legend names {name}, and the result has {sorted(result)}"


def namespaces(dashboard: Json) -> Iterator[str]:
    """Every query heeds the chosen namespaces, except that for budgets, which are the same everywhere."""
    for title, _, expression in parsed(dashboard):
        for selector in selectors(expression):
            values = [m.value for m in selector.matchers.matchers if m.name == "namespace"]
            if selector.name != "headrace:slo_budget" and values not in (["$namespace"], ["$namespace|"]):
                yield f"{title}: {selector.name} of all namespaces"


RULES: Final[tuple[Rule, ...]] = (
    datasource,
    variables,
    texts,
    ids,
    grid,
    behaviour,
    parses,
    rate_interval,
    rates,
    known_names,
    namespaces,
)
