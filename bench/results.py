"""Results of a benchmark: tables and targets, printed and saved as JSON."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench import machine
from bench.measuring import number
from bench.options import Options

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """A table of formatted cells."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Target:
    """A figure with its target. `sense` is `≤` or `≥`."""

    what: str
    value: float
    unit: str
    sense: str
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the value meets the target; False for NaN."""
        return self.value <= self.limit if self.sense == "≤" else self.value >= self.limit


@dataclass
class Results:
    """Results of one script; call `write` at its end."""

    script: str
    options: Options
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    rounds: dict[str, Any] = field(default_factory=dict)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = ""
    ) -> None:
        """Add a table."""
        cells = [[number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        self.tables.append(Table(title, list(columns), cells, note))

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Add a figure that should be at least `limit`."""
        self.targets.append(Target(what, value, unit, "≥", limit))

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Add a figure that should be at most `limit`."""
        self.targets.append(Target(what, value, unit, "≤", limit))

    def write(self) -> None:
        """Print the results and save them in `bench/results/`."""
        FOLDER.mkdir(exist_ok=True)
        kept = {
            "script": self.script,
            "command": f"python -m bench.{self.script}",
            "date": machine.today(),
            "is_quick": self.options.is_quick,
            "rounds": self.options.rounds,
            "load_at_end": round(machine.load(), 2),
            "machine": machine.describe(),
            "versions": machine.versions(),
            "targets": [asdict(target) | {"is_met": target.is_met} for target in self.targets],
            "tables": [asdict(table) for table in self.tables],
            "measured": self.rounds,
        }
        text = msgspec.json.format(msgspec.json.encode(kept), indent=1)
        (FOLDER / f"{self.script}.json").write_bytes(text + b"\n")
        for table in self.tables:
            print(f"\n{table.title}\n")
            print(markdown(table.columns, table.rows))
            if table.note:
                print(f"\n{table.note}")
        print()
        for target in self.targets:
            verdict = "met" if target.is_met else "MISSED"
            value = f"{number(target.value)} {target.unit}".strip()
            print(f"{target.what}: {value} (target {target.sense} {target.limit:g}): {verdict}")
        sys.stdout.flush()


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with aligned columns."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = [_line(columns, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
