"""Runs mutants in two servers with different memory patterns and compares their outcomes."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

BATCH: Final = 50
PATTERNS: Final = (85, 170)
UNCHECKED: Final = "unchecked"

Mutant = tuple[str, Callable[[], bytes]]


@dataclass
class Report:
    """Counts of outcomes, and findings."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        """Format a row of the table."""
        shown = ("mutants", "refused", "accepted", "slow", "escaped", "crashed", "differing")
        return f"| {name} | " + " | ".join(str(self.counts[key]) for key in shown) + " |"


class Arena:
    """Runs mutants in two servers. Without `is_checked`, the servers skip the inspection of skops files."""

    def __init__(self, *, is_checked: bool = True) -> None:
        self._arguments = [] if is_checked else [UNCHECKED]
        self._servers: list[subprocess.Popen[str]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-fuzz-")

    def __enter__(self) -> Self:
        for pattern in PATTERNS:
            environment = {**os.environ, "MALLOC_PERTURB_": str(pattern), "OMP_NUM_THREADS": "1"}
            self._servers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.fuzz.server", *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            assert server.stdin is not None
            server.stdin.close()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
        self._folder.cleanup()

    def run(self, kind: str, model: str, rows: list[Any], mutants: Iterable[Mutant], report: Report) -> None:
        """Load each mutant in both servers, predict `rows` and add the outcomes to `report`."""
        for batch in _batches(mutants):
            named: list[tuple[str, str]] = []
            for name, make in batch:
                path = Path(self._folder.name, f"{len(named)}")
                path.write_bytes(make())
                named.append((name, str(path)))
            line = json.dumps({"kind": kind, "rows": rows, "files": [path for _, path in named]}) + "\n"
            for server in self._servers:
                assert server.stdin is not None
                server.stdin.write(line)
                server.stdin.flush()
            outcomes = [self._read_outcomes(server) for server in self._servers]
            for (name, _), *found in zip(named, *outcomes, strict=True):
                _judge(f"{model} {name}", found, report)

    def _read_outcomes(self, server: "subprocess.Popen[str]") -> list[Any]:
        assert server.stdout is not None
        outcomes: list[Any] = json.loads(server.stdout.readline())
        return outcomes


def _judge(name: str, outcomes: list[list[str]], report: Report) -> None:
    report.counts["mutants"] += 1
    worst = next(
        (kind for kind in ("crashed", "escaped", "slow") if any(one[0] == kind for one in outcomes)), None
    )
    if worst is not None:
        report.counts[worst] += 1
        report.findings.append(f"{worst}: {name}: {[one[1][:160] for one in outcomes]}")
    elif not _are_alike(*outcomes):
        report.counts["differing"] += 1
        report.findings.append(f"differing: {name}: {[one[1][:160] for one in outcomes]}")
    else:
        report.counts[outcomes[0][0]] += 1


def _are_alike(one: list[str], other: list[str]) -> bool:
    if one == other:
        return True
    if one[0] != other[0] or not (one[1].startswith("[") and other[1].startswith("[")):
        return False
    # The last digit of sums may depend on memory alignment.
    left, right = (list(_flatten(json.loads(text))) for text in (one[1], other[1]))
    return len(left) == len(right) and all(
        a == b or (not isinstance(a, str | bool) and np.isclose(a, b, rtol=1e-6, equal_nan=True))
        for a, b in zip(left, right, strict=True)
    )


def _flatten(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _flatten(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flatten(inner)
    else:
        yield value


def _batches(mutants: Iterable[Mutant]) -> Iterator[list[Mutant]]:
    left = iter(mutants)
    while batch := list(islice(left, BATCH)):
        yield batch
