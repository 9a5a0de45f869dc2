"""Unit tests of rules, run by promtool: what is recorded, and which alerts fire with which labels."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.monitoring.rules import ALERTS, GROUPS, RULES, Rule, rule_file
from tests.support.prometheus import promtool_path

_OUTCOME: Final = re.compile(r"^Unit Testing:  (.+)\n  (SUCCESS|FAILED:\n(?:.+\n|\n(?=    ))*)", re.MULTILINE)


@dataclass(frozen=True)
class Firing:
    """An alert that fires, with its labels apart from its name and severity."""

    summary: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Moment:
    """Which alerts of this name fire at a time, and no others."""

    at: str
    alert: str
    fires: tuple[Firing, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The value of a query at a time; `series` is the result with its labels."""

    at: str
    query: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """Series over time, in promtool's notation, and what must be recorded and fire."""

    story: str
    series: Mapping[str, str]
    expects: tuple[Moment | Sample, ...]
    interval: str = "15s"
    """Time between two samples and between two evaluations of the rules."""


def outcomes(runs: Mapping[str, tuple[Sequence[Rule], Iterable[Case]]], folder: Path) -> dict[str, str]:
    """Test each named set of rules with its cases. Return the failures of each; "" if there are none."""
    names: dict[str, str] = {}
    for number, (name, (rules, cases)) in enumerate(runs.items()):
        rules_path = folder / f"{number}.rules.json"
        rules_path.write_text(json.dumps(rule_file(tuple(rules))))
        for interval, some in _by_interval(cases).items():
            path = folder / f"{number}-{interval}.test.json"
            path.write_text(json.dumps(_test_file(rules_path, interval, some)))
            names[str(path)] = name
    command = [str(promtool_path()), "test", "rules", *names]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
    )
    found = {match[1]: match[2].removeprefix("SUCCESS") for match in _OUTCOME.finditer(done.stdout)}
    assert found.keys() == names.keys(), done.stdout[-2000:]
    failures = dict.fromkeys(runs, "")
    for file, failure in found.items():
        failures[names[file]] += failure
    return failures


def failures(cases: Iterable[Case], folder: Path, rules: Sequence[Rule] = RULES) -> str:
    """Test the rules with these cases; return what failed."""
    return outcomes({"all": (rules, cases)}, folder)["all"]


def _by_interval(cases: Iterable[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.interval, []).append(case)
    return found


def _test_file(rules: Path, interval: str, cases: list[Case]) -> dict[str, Any]:
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": interval,
        "group_eval_order": list(GROUPS),
        "tests": [
            {
                "name": case.story,
                "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [_moment(item) for item in case.expects if isinstance(item, Moment)],
                "promql_expr_test": [_sample(item) for item in case.expects if isinstance(item, Sample)],
            }
            for case in cases
        ],
    }


def _moment(moment: Moment) -> dict[str, Any]:
    rule = ALERTS[moment.alert]
    return {
        "eval_time": moment.at,
        "alertname": moment.alert,
        "exp_alerts": [
            {
                "exp_labels": {"severity": rule.labels["severity"], **firing.labels},
                "exp_annotations": {**rule.annotations, "summary": firing.summary},
            }
            for firing in moment.fires
        ],
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "expr": sample.query,
        "eval_time": sample.at,
        "exp_samples": [{"labels": labels, "value": value} for labels, value in sample.values.items()],
    }
