"""Prints the report of a training for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from app.cli.models.table import describe_metrics
from app.cli.tables import print_table

MAX_ROWS: Final = 20


def print_report(report: Mapping[str, Any]) -> None:
    """Print the split and the metrics, then a table of the columns and one of the classes."""
    split = report["split"]
    rows = ", ".join(f"{split[f'{part}_rows']} {part}" for part in ("train", "validation", "test"))
    print(f"{report['algorithm']}, predicts {report['target']}")
    print(f"  split: {split['method']}; rows: {rows}")
    print(f"  metrics: {describe_metrics(report['metrics'])}")
    importance = report.get("importance")
    if importance is not None:
        _print("column", ("mean", "deviation"), "name", importance["columns"])
    classification = report.get("classification")
    if classification is not None:
        columns = ("rows", "precision", "recall", "f1", "roc_auc")
        _print("class", columns, "label", classification["classes"])
    for warning in report["warnings"]:
        print(f"  warning: {warning}")


def _print(title: str, columns: Sequence[str], name: str, found: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column("drop" if column == "mean" else column, justify="right")
    for row in found[:MAX_ROWS]:
        table.add_row(row[name], *(_number(row[column]) for column in columns))
    print()
    print_table(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
