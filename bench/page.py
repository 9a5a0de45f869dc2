"""Generates docs/performance.md from the results in `bench/results/` and the notes in `bench/notes/`.

A note explains a missed target: the profile, and what it would take to meet the target.
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

Throughput, latency and memory of Headrace, measured in the same run as an alternative. `make bench` generates
this page; `make bench ARGS='streams --quick'` makes a short run of one benchmark. Each section shows the
command that reproduces it. No test asserts a time.

The servers are the embedded ones with default options: each commit is on disk (fsync) before it is confirmed.
The client runs in its own process on the same machine, so it competes for CPU time with the system under
test. Rounds of Headrace and of the reference alternate. Figures are the median of the rounds, with minimum
and maximum in parentheses.
"""


def write() -> None:
    """Generate the page."""
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
    return "## Figures\n\n" + markdown(("figure", "measured", "target", "met"), rows) + "\n"


def _section(figure: Figure, kept: dict[str, Any] | None) -> str:
    lines = [f"## {figure.script}\n", f"{figure.what}. Reference: {figure.reference}.\n"]
    lines.append(f"    .venv/bin/python -m bench.{figure.script}\n")
    if kept is None:
        lines.append("Not measured yet.\n")
        return "\n".join(lines)
    if kept["is_quick"]:
        lines.append(f"Quick run (`--quick`, {kept['date']}): it only shows that the script works.\n")
    for table in kept["tables"]:
        lines.append(f"**{table['title']}**\n\n{markdown(table['columns'], table['rows'])}\n")
        if table["note"]:
            lines.append(f"{table['note']}\n")
    missed = [target["what"] for target in kept["targets"] if not target["is_met"]]
    note = NOTES / f"{figure.script}.md"
    if note.exists():
        lines.append(note.read_text())
    elif missed:
        lines.append(f"Targets missed: {'; '.join(missed)}. There is no analysis yet.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    write()
