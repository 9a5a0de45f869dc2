"""How many workers KEDA and the HPA would run, computed as they do, from the manifest of the ScaledObject.

The formulas are those of https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ and
https://keda.sh/docs/latest/reference/scaledobject-spec/. A test may divide all periods, to see in two minutes
what takes a cluster an hour.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

TOLERANCE: Final = 0.1
"""The HPA changes nothing while the metric is this close to its target."""

FORMULA: Final = "waited > 60 ? need + 2 : need"
"""The only formula that `composed` knows; another one needs another function."""


def composed(need: float, waited: float) -> float:
    """The composite metric: what FORMULA says."""
    return need + 2 if waited > 60 else need


@dataclass(frozen=True)
class Policy:
    """How much may change within a period: a number of pods, or a percentage of them."""

    type: str
    value: int
    seconds: float

    def allows(self, pods: int) -> int:
        """How many pods may come or go, if there were `pods` at the start of the period."""
        return self.value if self.type == "Pods" else math.ceil(pods * self.value / 100)


@dataclass
class Autoscaler:
    """The state of an HPA that KEDA feeds."""

    target: float
    minimum: int
    maximum: int
    up: tuple[Policy, ...]
    down: tuple[Policy, ...]
    window_seconds: float
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    @classmethod
    def from_manifest(cls, scaled: Mapping[str, Any], *, maximum: int, faster: float) -> Self:
        """Read a ScaledObject; divide all its periods by `faster`."""
        modifiers = scaled["advanced"]["scalingModifiers"]
        assert modifiers["formula"] == FORMULA
        assert modifiers["metricType"] == "AverageValue"
        behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        return cls(
            target=float(modifiers["target"]),
            minimum=scaled["minReplicaCount"],
            maximum=min(maximum, scaled["maxReplicaCount"]),
            up=_policies(behavior["scaleUp"], faster),
            down=_policies(behavior["scaleDown"], faster),
            window_seconds=behavior["scaleDown"]["stabilizationWindowSeconds"] / faster,
        )

    def replicas(self, current: int, metric: float, now: float) -> int:
        """Return how many replicas to run from now on."""
        wanted = min(max(self._recommendation(current, metric), self.minimum), self.maximum)
        self._recommended = [(at, count) for at, count in self._recommended if at > now - self.window_seconds]
        self._recommended.append((now, wanted))
        if wanted < current:  # as many as at any time within the window were needed
            wanted = min(current, max(count for _, count in self._recommended))
        decided = self._within_policies(current, wanted, now)
        if decided != current:
            self._changes.append((now, decided - current))
        return decided

    def _recommendation(self, current: int, metric: float) -> int:
        if current and abs(metric / (self.target * current) - 1) <= TOLERANCE:
            return current
        return math.ceil(metric / self.target)

    def _within_policies(self, current: int, wanted: int, now: float) -> int:
        """Change by no more than the most generous policy allows."""
        if wanted > current:
            return min(wanted, max(self._limit(policy, current, now, 1) for policy in self.up))
        return max(wanted, min(self._limit(policy, current, now, -1) for policy in self.down))

    def _limit(self, policy: Policy, current: int, now: float, sign: int) -> int:
        changed = sum(
            change for at, change in self._changes if at > now - policy.seconds and change * sign > 0
        )
        at_start = current - changed
        return at_start + sign * policy.allows(at_start)


def _policies(rules: Mapping[str, Any], faster: float) -> tuple[Policy, ...]:
    return tuple(
        Policy(policy["type"], policy["value"], policy["periodSeconds"] / faster)
        for policy in rules["policies"]
    )
