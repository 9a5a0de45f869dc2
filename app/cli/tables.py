"""Tables on stdout, and how they show times and sizes."""

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL: Final = 200
KIB: Final = 1024


def print_table(table: Table) -> None:
    """Print a table to stdout, wide enough for complete values if stdout is not a terminal.

    Cells are plain text: a name may look like the markup of rich.
    """
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    console.print(table)


def local(instant: datetime | None) -> str:
    """A time in the zone of this machine, to the second."""
    return "" if instant is None else f"{instant.astimezone():%Y-%m-%d %H:%M:%S}"


def in_bytes(number: int) -> str:
    """A size with its unit, such as `21.4 MiB`."""
    size = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < KIB:
            return f"{number} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= KIB
    return f"{size:.1f} TiB"
