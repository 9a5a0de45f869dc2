"""Every metric and label in a rule exists, and every label in the text of an alert is one that it has."""

import re

import promql_parser
import pytest

from tests.monitoring.promql import UnknownName, known_series, labels_of, own_series, selectors
from tests.monitoring.rules import ALERTS, RECORDINGS, RULES, Rule

_IN_A_TEXT = re.compile(r"\$labels\.(\w+)")
_EITHER = {"pod", "instance"}
"""Outside Kubernetes there is no pod: texts say `or $labels.pod $labels.instance`."""


def name_of(rule: Rule) -> str:
    return f"{rule.name}{''.join(f'-{value}' for value in rule.labels.values())}"


def test_the_series_are_those_of_the_processes() -> None:
    series = own_series()

    assert series["headrace_http_requests_total"] == {"method", "route", "status"}
    assert series["headrace_wait_seconds_bucket"] == {"queue", "le"}
    assert series["headrace_wait_seconds_count"] == {"queue"}
    assert series["headrace_queue_jobs"] == {"queue", "priority", "state"}


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_every_metric_and_label_of_a_rule_exists(rule: Rule) -> None:
    labels_of(promql_parser.parse(rule.expr), known_series())


@pytest.mark.parametrize("alert", ALERTS)
def test_the_text_of_an_alert_names_labels_that_the_alert_has(alert: str) -> None:
    rule = ALERTS[alert]
    named = {label for text in rule.annotations.values() for label in _IN_A_TEXT.findall(text)}
    labels = labels_of(promql_parser.parse(rule.expr), known_series())

    assert named <= labels
    if named & _EITHER and "container" not in named:
        assert "or $labels.pod $labels.instance" in rule.annotations["summary"]


def test_every_recording_rule_is_named_for_its_level_and_operation() -> None:
    assert {rule.name for rule in RECORDINGS if not re.fullmatch(r"headrace:\w+(:\w+)?", rule.name)} == set()


@pytest.mark.parametrize(
    "expression",
    [
        "headrace_no_such_metric",
        'headrace_queue_jobs{colour="red"}',
        "sum by (colour) (headrace_queue_jobs)",
        "headrace_postgres_up == 0 and on (colour) headrace_redis_up == 0",
        "histogram_quantile(0.9, sum by (queue) (rate(headrace_wait_seconds_bucket[5m])))",
        "rate(headrace_wait_seconds[5m])",
    ],
)
def test_a_name_that_does_not_exist_is_found(expression: str) -> None:
    with pytest.raises(UnknownName):
        labels_of(promql_parser.parse(expression), known_series())


def test_every_selector_of_an_expression_is_found() -> None:
    expression = promql_parser.parse(
        "absent(a) or rate(b[5m]) > on (x) group_left () (2 * c) unless max by (y) (d)"
    )

    assert {selector.name for selector in selectors(expression)} == {"a", "b", "c", "d"}
