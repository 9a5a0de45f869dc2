"""What a script found: tables, figures against their reach, printed and kept as JSON."""

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
    """Something to look at; cells are text or numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Reach:
    """One figure and what it should reach; `sense` is at most or at least."""

    what: str
    value: float
    unit: str
    sense: str
    limit: float

    @property
    def is_reached(self) -> bool:
        """Whether the promise is kept. NaN is not."""
        return self.value <= self.limit if self.sense == "≤" else self.value >= self.limit


@dataclass
class Results:
    """Of one script; written at its end."""

    script: str
    options: Options
    tables: list[Table] = field(default_factory=list)
    reaches: list[Reach] = field(default_factory=list)
    rounds: dict[str, Any] = field(default_factory=dict)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = ""
    ) -> None:
        """Add a table."""
        cells = [[number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        self.tables.append(Table(title, list(columns), cells, note))

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Say what should be reached from below."""
        self.reaches.append(Reach(what, value, unit, "≥", limit))

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Say what should not be passed."""
        self.reaches.append(Reach(what, value, unit, "≤", limit))

    def write(self) -> None:
        """Print everything, and keep it in `bench/results/`."""
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
            "reaches": [asdict(reach) | {"is_reached": reach.is_reached} for reach in self.reaches],
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
        for reach in self.reaches:
            verdict = "reached" if reach.is_reached else "NOT reached"
            print(
                f"{reach.what}: {number(reach.value)} {reach.unit} ({reach.sense} {reach.limit:g}): {verdict}"
            )
        sys.stdout.flush()


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, with columns as wide as they have to be."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = [_line(columns, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
