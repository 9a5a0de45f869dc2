"""The dashboard keeps the rules of its lint, each rule finds its mistake, and the file is up to date."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.components.monitoring import dashboard
from tests.monitoring import dashboard_lint as lint
from tests.monitoring.dashboard_lint import Json, Rule
from tests.support.prometheus import promtool_path

Mutation = Callable[[Json], object]


def shipped() -> Json:
    """A fresh copy of the dashboard that we ship, to read or to change."""
    found: Json = json.loads(dashboard.FILE.read_text(encoding="utf-8"))
    return found


def panel(board: Json, title: str) -> Any:
    return next(panel for panel in board["panels"] if panel["title"] == title)


def query(board: Json, title: str) -> Any:
    """The first query of a panel."""
    return panel(board, title)["targets"][0]


def replaced(title: str, old: str, new: str, key: str = "expr") -> Mutation:
    """A dashboard with other words in a query."""

    def mutate(board: Json) -> None:
        target = query(board, title)
        assert old in target[key], target[key]
        target[key] = target[key].replace(old, new)

    return mutate


def without(title: str, *path: str) -> Mutation:
    """A dashboard whose panel lacks a property."""

    def mutate(board: Json) -> None:
        where = panel(board, title)
        for key in path[:-1]:
            where = where[key]
        del where[path[-1]]

    return mutate


def moved(title: str, **position: int) -> Mutation:
    """A dashboard with a panel elsewhere."""
    return lambda board: panel(board, title)["gridPos"].update(position)


def variable(board: Json, name: str) -> Any:
    return next(variable for variable in board["templating"]["list"] if variable["name"] == name)


MUTANTS: list[tuple[Rule, str, Mutation]] = [
    (
        lint.datasource,
        "panel",
        lambda b: panel(b, "Resyncs").update(datasource={"type": "prometheus", "uid": "x"}),
    ),
    (lint.datasource, "query", lambda b: query(b, "Resyncs").update(datasource=None)),
    (lint.datasource, "annotation", lambda b: b["annotations"]["list"][1].pop("datasource")),
    (lint.datasource, "variable", lambda b: variable(b, "queue").update(datasource="Prometheus")),
    (lint.datasource, "none to choose", lambda b: b["templating"]["list"].pop(0)),
    (lint.variables, "a namespace must be there", lambda b: variable(b, "namespace").update(allValue=".+")),
    (lint.variables, "no All", lambda b: variable(b, "queue").update(includeAll=False)),
    (
        lint.variables,
        "starts with one queue",
        lambda b: variable(b, "queue").update(current={"value": ["default"]}),
    ),
    (lint.texts, "no title", lambda b: panel(b, "Resyncs").update(title="")),
    (lint.texts, "a row without a title", lambda b: panel(b, "Inside").update(title="")),
    (lint.texts, "the same title twice", lambda b: panel(b, "Resyncs").update(title="Open streams")),
    (lint.texts, "no description", without("Resyncs", "description")),
    (lint.texts, "no sentence", lambda b: panel(b, "Resyncs").update(description="Resyncs")),
    (lint.texts, "no unit", without("Resyncs", "fieldConfig", "defaults", "unit")),
    (
        lint.texts,
        "an unknown unit",
        lambda b: panel(b, "Resyncs")["fieldConfig"]["defaults"].update(unit="sec"),
    ),
    (lint.ids, "an id twice", lambda b: panel(b, "Resyncs").update(id=1)),
    (lint.ids, "a letter twice", lambda b: panel(b, "Time to start")["targets"][1].update(refId="A")),
    (lint.ids, "another dashboard", lambda b: b.update(uid="other")),
    (lint.grid, "overlap", moved("Jobs ended by status", x=7)),
    (lint.grid, "overlap with a row", moved("Queues", y=14)),
    (lint.grid, "beside the grid", moved("Alerts firing", w=9)),
    (lint.grid, "a first row of two screens", moved("Queues", y=21)),
    (lint.behaviour, "editable", lambda b: b.update(editable=True)),
    (lint.behaviour, "editable by default", lambda b: b.pop("editable")),
    (lint.behaviour, "no refresh", lambda b: b.update(refresh="")),
    (lint.behaviour, "no alerts", lambda b: b["annotations"]["list"].pop(0)),
    (lint.behaviour, "no versions", lambda b: b["annotations"]["list"].pop(1)),
    (lint.parses, "a query", replaced("Resyncs", "sum(", "sum((")),
    (lint.parses, "an unknown function", replaced("Resyncs", "sum(", "summe(")),
    (lint.parses, "an annotation", lambda b: b["annotations"]["list"][0].update(expr="ALERTS{")),
    (lint.rate_interval, "a fixed range", replaced("Resyncs", "$__rate_interval", "5m")),
    (lint.rate_interval, "the zoom's range", replaced("Resyncs", "$__rate_interval", "61m")),
    (lint.rates, "of a gauge", replaced("Resyncs", "headrace_stream_resyncs_total", "headrace_streams_open")),
    (
        lint.rates,
        "none of a counter",
        replaced("Open streams", "headrace_streams_open", "headrace_rows_total"),
    ),
    (lint.rates, "of a histogram's parts", replaced("Commit p99", "rate(", "max_over_time(")),
    (lint.known_names, "a metric", replaced("Resyncs", "stream_resyncs", "stream_resync")),
    (lint.known_names, "a recorded metric", replaced("Empty in", "drain_seconds:ratio", "drain_seconds")),
    (lint.known_names, "a histogram without its part", replaced("Commit p99", "_bucket", "")),
    (lint.known_names, "a label that selects", replaced("Slots in use", "queue=~", "queues=~")),
    (lint.known_names, "a label that groups", replaced("Rows per second", "by (kind)", "by (queue)")),
    (lint.known_names, "a quantile without le", replaced("Commit p99", "by (le)", "by (instance)")),
    (
        lint.known_names,
        "a label that matches",
        replaced("Memory by pod", "on (job, instance)", "on (job, host)"),
    ),
    (lint.known_names, "a legend", replaced("Rows per second", "kind", "queue", "legendFormat")),
    (lint.namespaces, "none", replaced("Resyncs", '{namespace=~"$namespace"}', "")),
    (lint.namespaces, "a fixed one", replaced("Resyncs", "$namespace", "headrace")),
]


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_the_dashboard_keeps_each_rule(rule: Rule) -> None:
    assert list(rule(shipped())) == []


@pytest.mark.parametrize(
    ("rule", "mutate"),
    [pytest.param(rule, mutate, id=f"{rule.__name__}: {mistake}") for rule, mistake, mutate in MUTANTS],
)
def test_a_rule_finds_its_mistake(rule: Rule, mutate: Mutation) -> None:
    board = shipped()

    mutate(board)

    assert set(rule(board)) > set(rule(shipped()))


def test_each_rule_has_a_mistake_that_it_finds() -> None:
    assert {rule for rule, _, _ in MUTANTS} == set(lint.RULES)


def test_it_has_the_rows_of_the_table() -> None:
    board = shipped()
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]

    assert rows == [
        *("Is it well?", "Queues", "Work", "Schedules", "Workers"),
        *("Durability", "API and streams", "Notifications", "Inside"),
    ]
    assert len(lint.panels(board)) == 48


def test_the_file_is_what_the_program_writes() -> None:
    """Otherwise: .venv/bin/python -m k8s.components.monitoring.write."""
    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.text()


@pytest.mark.parametrize(
    ("errors", "events", "at", "left"),
    [
        pytest.param(
            "_ _ 0.002 0.9 0 _ _ _", "_ _ 1000 50 3000 _ 0 0", "3h30m", 0.5, id="each hour by its events"
        ),
        pytest.param("_ 0.0005 _ _", "_ 10 _ _", "31m", 0.5, id="no full hour yet"),
        pytest.param("_ _ 0.003 0 _", "_ _ 1000 0 _", "1h30m", -2.0, id="missed"),
    ],
)
def test_what_is_left_of_an_error_budget(
    errors: str, events: str, at: str, left: float, tmp_path: Path
) -> None:
    labels = '{namespace="headrace", slo="availability"}'
    series = {
        f"headrace:slo_errors:ratio_rate1h{labels}": errors,
        f"headrace:slo_events:increase1h{labels}": events,
        'headrace:slo_budget{slo="availability"}': "0.001x8",
    }
    expression = query(shipped(), "Error budget left (30 d)")["expr"].replace("$namespace", "headrace")
    test = {
        "interval": "30m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": at, "exp_samples": [{"labels": labels, "value": left}]}
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}), encoding="utf-8")

    done = subprocess.run(
        [promtool_path(), "test", "rules", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_kubectl_can_apply_the_config_map() -> None:
    """It keeps the whole object in an annotation, which may have 256 KiB."""
    assert len(json.dumps(dashboard.text())) < 250_000
