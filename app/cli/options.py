"""Options that commands of all groups share."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_PORT: Final = 8000
DEFAULT_DATA_DIR: Final = Path(".data")

AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, and errors as JSON to stderr.", show_default=False),
]
DataDir = Annotated[Path, typer.Option("--data", metavar="FOLDER", help="Folder that holds all data.")]
Port = Annotated[
    int, typer.Option("--port", min=0, max=65_535, metavar="PORT", help="Port of the API; 0: a free one.")
]


def examples(*commands: str) -> str:
    """The end of a command's help: example calls, one per line."""
    return "\n  ".join(("Examples:", *commands))
