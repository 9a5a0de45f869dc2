"""Writes docs/performance.md from what the scripts have kept in `bench/results/`.

What is written by a person is in `bench/notes/`, one file a script: for a figure that is not reached, the
profile that explains it and what would be needed.
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

How fast, how small, how soon: measured, beside what one would have instead, in the same run.
`make bench` writes this page (`make bench ARGS='streams --quick'` runs one script in its short form), and
each figure has its command. No test asserts a time.

Servers are the embedded ones with their default options: each commit is on the disk (fsync) before it is
confirmed. The client is a process of its own on the same machine, so what it takes is missing to what is
measured. Rounds of ours and of the reference take turns; a number is the median of the rounds, in brackets
the lowest and the highest.
"""


def write() -> None:
    """Write the page."""
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
        for reach in kept["reaches"] if kept else ():
            value = float("nan") if reach["value"] is None else reach["value"]
            verdict = "yes" if reach["is_reached"] else f"**no**, see [{script}](#{script})"
            rows.append(
                [
                    reach["what"],
                    f"{number(value)} {reach['unit']}".strip(),
                    f"{reach['sense']} {reach['limit']:g}",
                    verdict,
                ]
            )
    return "## Figures\n\n" + markdown(("what", "measured", "reach", "reached"), rows) + "\n"


def _section(figure: Figure, kept: dict[str, Any] | None) -> str:
    lines = [f"## {figure.script}\n", f"{figure.what}. Reference: {figure.reference}.\n"]
    lines.append(f"    .venv/bin/python -m bench.{figure.script}\n")
    if kept is None:
        lines.append("Not measured yet.\n")
        return "\n".join(lines)
    if kept["is_quick"]:
        lines.append(
            f"Short form (`--quick`, {kept['date']}): it shows that the script runs; it does not count.\n"
        )
    for table in kept["tables"]:
        lines.append(f"**{table['title']}**\n\n{markdown(table['columns'], table['rows'])}\n")
        if table["note"]:
            lines.append(f"{table['note']}\n")
    missed = [reach["what"] for reach in kept["reaches"] if not reach["is_reached"]]
    note = NOTES / f"{figure.script}.md"
    if note.exists():
        lines.append(note.read_text())
    elif missed:
        lines.append(f"Not reached: {'; '.join(missed)}. Why, and what would be needed: not written yet.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    write()
