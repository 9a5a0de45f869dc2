"""Generates docs/performance.md from the results in `bench/results/` and the notes in `bench/notes/`.

A note, one file per script, explains a missed target: the profile, and what would be needed to reach it.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from bench.figures import FIGURES, Figure
from bench.measuring import number
from bench.results import FOLDER, markdown
from bench.stack import ROOT

PAGE: Final = ROOT / "docs/performance.md"
NOTES: Final = Path(__file__).parent / "notes"

OPENING: Final = """# Performance

Benchmarks of speed, memory and latency. Where a reference exists, it runs in the same session: Headrace and
the reference take turns on the same machine. `make bench` runs all benchmarks and generates this page;
`make bench ARGS='streams --quick'` runs the short form of one. Each section names its command. No test
asserts a time.

The embedded servers run with their default options: Postgres flushes each commit to disk (fsync) before it
confirms it. The client is a separate process on the same machine and competes for its processors. Each number
is the median of the rounds, with the lowest and the highest in brackets.
"""


def write() -> None:
    """Write docs/performance.md."""
    found = {figure.script: _read(figure.script) for figure in FIGURES}
    parts = [OPENING, _machine([one for one in found.values() if one]), _overview(found)]
    parts += [_section(figure, found[figure.script]) for figure in FIGURES]
    PAGE.write_text("\n".join(parts))


def _read(script: str) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = msgspec.json.decode((FOLDER / f"{script}.json").read_bytes())
    except FileNotFoundError:
        return None
    return kept


def _machine(found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    latest = max(found, key=lambda one: str(one["date"]))
    machine = ", ".join(f"{name}: {value}" for name, value in latest["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in latest["versions"].items())
    return f"**Machine** ({latest['date']}) {machine}.\n\n**Versions** {versions}.\n"


def _overview(found: dict[str, dict[str, Any] | None]) -> str:
    rows = []
    for script, kept in found.items():
        for target in kept["targets"] if kept else ():
            value = float("nan") if target["value"] is None else target["value"]
            verdict = "yes" if target["is_met"] else f"**no**, see [{script}](#{script})"
            rows.append(
                [
                    target["what"],
                    f"{number(value)} {target['unit']}".strip(),
                    f"{target['sense']} {target['limit']:g}",
                    verdict,
                ]
            )
    return "## Figures\n\n" + markdown(("metric", "measured", "target", "met"), rows) + "\n"


def _section(figure: Figure, kept: dict[str, Any] | None) -> str:
    lines = [f"## {figure.script}\n", f"**Measured:** {figure.what}. **Reference:** {figure.reference}.\n"]
    lines.append(f"    .venv/bin/python -m bench.{figure.script}\n")
    if kept is None:
        lines.append("Not measured yet.\n")
        return "\n".join(lines)
    if kept["is_quick"]:
        lines.append(f"Short form (`--quick`, {kept['date']}): not a valid measurement.\n")
    for table in kept["tables"]:
        lines.append(f"**{table['title']}**\n\n{markdown(table['columns'], table['rows'])}\n")
        if table["note"]:
            lines.append(f"{table['note']}\n")
    missed = [target["what"] for target in kept["targets"] if not target["is_met"]]
    note = NOTES / f"{figure.script}.md"
    if note.exists():
        lines.append(note.read_text())
    elif missed:
        lines.append(f"Targets missed: {'; '.join(missed)}. Not analysed yet.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    write()
