"""The recording rules and alerts of `rules.yaml`, as values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from k8s.components.monitoring.prometheus_rule import SOURCE


@dataclass(frozen=True)
class Rule:
    """A recording rule or an alert."""

    name: str
    group: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    lasts: str = ""
    """How long the expression must hold before the alert fires."""

    is_alert: bool = False

    def source(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        written: dict[str, Any] = {"alert" if self.is_alert else "record": self.name, "expr": self.expr}
        if self.lasts:
            written["for"] = self.lasts
        if self.labels:
            written["labels"] = dict(self.labels)
        if self.annotations:
            written["annotations"] = dict(self.annotations)
        return written


def shipped() -> dict[str, Any]:
    """Return a fresh copy of the rule file that we ship, to read or to change."""
    found: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return found


def _load() -> tuple[Rule, ...]:
    groups = shipped()["groups"]
    return tuple(
        Rule(
            name=rule.get("alert") or rule["record"],
            group=group["name"],
            expr=rule["expr"],
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
            lasts=rule.get("for", ""),
            is_alert="alert" in rule,
        )
        for group in groups
        for rule in group["rules"]
    )


RULES: Final = _load()
RECORDINGS: Final = tuple(rule for rule in RULES if not rule.is_alert)
ALERTS: Final = {rule.name: rule for rule in RULES if rule.is_alert}
GROUPS: Final = tuple(dict.fromkeys(rule.group for rule in RULES))


def named(name: str) -> Rule:
    """Return the rule with this name and, for a recording rule with labels, `name{slo}`."""
    (found,) = [rule for rule in RULES if name in (rule.name, f"{rule.name}{{{rule.labels.get('slo')}}}")]
    return found


def needed_for(rule: Rule) -> tuple[Rule, ...]:
    """Return the recording rules on which a rule depends, directly or not."""
    names: set[str] = set()
    unread = [rule]
    while unread:
        expr = unread.pop().expr
        direct = [other for other in RECORDINGS if re.search(rf"{other.name}\b", expr)]
        unread += [other for other in direct if other.name not in names]
        names |= {other.name for other in direct}
    return tuple(other for other in RECORDINGS if other.name in names)


def rule_file(rules: tuple[Rule, ...]) -> dict[str, Any]:
    """Return a rule file that contains these rules, in their groups."""
    return {
        "groups": [
            {"name": group, "rules": [rule.source() for rule in rules if rule.group == group]}
            for group in GROUPS
        ]
    }
