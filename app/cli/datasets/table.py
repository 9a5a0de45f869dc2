"""Prints datasets and their rows for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from app.cli.tables import in_bytes, local, print_table
from app.client import Dataset, DatasetPreview, DatasetProfile

MAX_COLUMNS_SHOWN: Final = 8
MAX_CELL_CHARACTERS: Final = 60


def print_datasets(datasets: Sequence[Dataset]) -> None:
    """Print one row per dataset to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("dataset", "name", "format", "rows", "columns", "size", "created"):
        is_number = column in ("rows", "columns", "size")
        table.add_column(column, no_wrap=column != "name", justify="right" if is_number else "left")
    for dataset in datasets:
        table.add_row(
            dataset.id,
            dataset.name,
            dataset.format,
            str(dataset.rows),
            str(len(dataset.columns)),
            in_bytes(dataset.bytes),
            local(dataset.created_at),
        )
    print_table(table)


def print_dataset(dataset: Dataset) -> None:
    """Print what is known of a dataset, and a row per column."""
    options = dataset.raw.get("options") or {}
    facts = {
        "id": dataset.id,
        "format": dataset.format,
        "rows": str(dataset.rows),
        "size": in_bytes(dataset.bytes),
        "delimiter": _shown(options.get("delimiter")),
        "encoding": options.get("encoding"),
        "missing values": " ".join(options.get("null_values") or ()),
        "sha256": dataset.sha256,
        "created": local(dataset.created_at),
    }
    print(dataset.name)
    for name, fact in facts.items():
        if fact:
            print(f"  {name}: {fact}")
    table = Table(box=None, pad_edge=False)
    for column in ("column", "type", "declared", "note"):
        table.add_column(column, no_wrap=column == "type")
    for column in dataset.raw.get("columns") or ():
        table.add_row(column["name"], column["type"], column.get("declared", ""), _note(column))
    print()
    print_table(table)


def print_rows(preview: DatasetPreview) -> None:
    """Print rows to stdout. Long cells are cut; missing values are empty."""
    table = Table(box=None, pad_edge=False)
    for name, kind in preview.columns.items():
        table.add_column(name, justify="right" if kind in ("integer", "number") else "left")
    for row in preview.rows:
        table.add_row(*(_cell(row.get(name)) for name in preview.columns))
    print_table(table)


def print_profile(profile: DatasetProfile) -> None:
    """Print a row per column, and its warnings to stderr, one per line."""
    print(f"{profile.rows} rows, {profile.duplicate_rows} of them duplicates")
    print()
    table = Table(box=None, pad_edge=False)
    for name in ("column", "type", "missing", "unique", "min", "mean", "max", "most frequent"):
        is_number = name in ("missing", "unique", "min", "mean", "max")
        table.add_column(name, justify="right" if is_number else "left")
    for name, column in profile.columns.items():
        frequent = ", ".join(f"{_cell(one['value'])} ({one['count']})" for one in column["most_frequent"][:3])
        mean = None if column["mean"] is None else round(column["mean"], 4)
        figures = (column["missing"], column["unique"], column["min"], mean, column["max"])
        table.add_row(name, column["type"], *map(_cell, figures), frequent)
    print_table(table)
    for name, column in profile.columns.items():
        for warning in column["warnings"]:
            print(f"warning: {name}: {warning['message']}", file=sys.stderr)


def describe_columns(dataset: Dataset) -> str:
    """The first columns with their types: `zip (integer), town (text)`."""
    shown = [f"{name} ({kind})" for name, kind in dataset.columns.items()][:MAX_COLUMNS_SHOWN]
    more = len(dataset.columns) - len(shown)
    return ", ".join([*shown, *([f"and {more} more columns"] if more else [])])


def _note(column: Mapping[str, Any]) -> str:
    """Why a column has its type, and what it holds if that is remarkable."""
    return "; ".join(found for found in (column.get("note"), column.get("holds")) if found)


def _shown(delimiter: str | None) -> str | None:
    return "tab" if delimiter == "\t" else delimiter


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"
