"""Options that name a dataset, and how the server reads an uploaded file."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from app.cli.jobs.options import without_none
from app.cli.jobs.values import COLUMN_TYPES, Pair, parse_column_type

_FILE = "Reading the file (default: the server detects it)"

FileFormat = Literal["csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class DatasetOptions:
    """The dataset of a job: a file to upload, an id, or a name."""

    dataset: Annotated[
        str | None, typer.Option(metavar="FILE", help="File to upload (- is stdin), or id of a dataset.")
    ] = None
    dataset_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Newest of your datasets with this name, all its rows.")
    ] = None

    @property
    def is_given(self) -> bool:
        """Whether there is a dataset."""
        return self.dataset is not None or self.dataset_name is not None


@dataclass(frozen=True)
class FileOptions:
    """How the server reads an uploaded file."""

    file_format: Annotated[
        FileFormat | None,
        typer.Option(help="Default: as the name of the file ends.", rich_help_panel=_FILE),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="Delimiter of a CSV: , ; | or a tab.", rich_help_panel=_FILE),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as windows-1252; default UTF-8.", rich_help_panel=_FILE),
    ] = None
    null_value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Text of a missing value, such as NA; repeatable.",
            rich_help_panel=_FILE,
        ),
    ] = None
    column_type: Annotated[
        list[Pair] | None,
        typer.Option(
            metavar="COLUMN=TYPE",
            parser=parse_column_type,
            help=f"Type of a column: {', '.join(COLUMN_TYPES)}; repeatable.",
            rich_help_panel=_FILE,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            format=self.file_format,
            delimiter=self.delimiter,
            encoding=self.encoding,
            null_values=self.null_value or None,
            columns=dict(self.column_type or ()) or None,
        )
