"""Prints models, versions and algorithms for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from app.cli.tables import in_bytes, local, print_table
from app.client import Algorithm, Evaluation, Model, ModelVersion

MAX_SHOWN: Final = 20
"""How many classes or columns a line names."""


def print_models(models: Sequence[Model]) -> None:
    """Print one row per model to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "latest", "aliases", "visibility", "created"):
        table.add_column(
            column, no_wrap=column != "aliases", justify="right" if column == "latest" else "left"
        )
    for model in models:
        is_own = model.raw.get("is_own")
        table.add_row(
            model.name if is_own else model.reference,
            "" if model.latest_version is None else str(model.latest_version),
            ", ".join(f"{alias}={number}" for alias, number in model.aliases.items()),
            "built in" if model.raw.get("is_built_in") else model.visibility or "",
            local(model.created_at),
        )
    print_table(table)


def print_versions(versions: Sequence[ModelVersion]) -> None:
    """Print one row per version to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("version", "aliases", "task", "runtime", "metrics", "size", "created"):
        table.add_column(column, no_wrap=column not in ("aliases", "metrics"))
    for version in versions:
        table.add_row(
            version.reference,
            ", ".join(version.aliases),
            version.task or "",
            version.runtime,
            describe_metrics(version.metrics),
            in_bytes(version.bytes),
            local(version.created_at),
        )
    print_table(table)


def print_evaluations(evaluations: Sequence[Evaluation]) -> None:
    """Print one row per evaluation to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("version", "dataset", "target", "rows", "metrics", "evaluated"):
        table.add_column(column, no_wrap=column not in ("dataset", "metrics"))
    for evaluation in evaluations:
        table.add_row(
            evaluation.model,
            evaluation.dataset or evaluation.dataset_id or "",
            evaluation.target,
            str(evaluation.rows),
            describe_metrics(evaluation.metrics),
            local(evaluation.evaluated_at),
        )
    print_table(table)


def print_version(version: ModelVersion) -> None:
    """Print what is known of a version, one fact per line."""
    facts = {
        "description": version.description,
        "tags": ", ".join(f"{key}={value}" for key, value in version.tags.items()),
        "owner": version.owner,
        "aliases": ", ".join(version.aliases),
        "task": version.task,
        "runtime": version.runtime,
        "columns": _columns(version.columns),
        "classes": _listed(version.classes or ()),
        "metrics": describe_metrics(version.metrics),
        "params": ", ".join(f"{name}={value}" for name, value in version.params.items()),
        "lineage": ", ".join(f"{name}={value}" for name, value in version.lineage.items()),
        "libraries": ", ".join(
            f"{name} {number}" for name, number in (version.raw.get("library_versions") or {}).items()
        ),
        "size": in_bytes(version.bytes) if version.bytes else None,
        "sha256": version.sha256,
        "created": local(version.created_at),
    }
    print(version.reference)
    for name, fact in facts.items():
        if fact:
            print(f"  {name}: {fact}")


def print_algorithms(algorithms: Sequence[Algorithm]) -> None:
    """Print one row per algorithm to stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("algorithm", "tasks", "params", "use"):
        table.add_column(column, no_wrap=column in ("algorithm", "tasks"))
    for algorithm in algorithms:
        params = ", ".join(algorithm.params.get("properties") or ())
        table.add_row(algorithm.name, ", ".join(algorithm.tasks), params, algorithm.sentence)
    print_table(table)


def describe(version: ModelVersion) -> str:
    """What a version takes and returns, in a line: `onnx, classification; age (number); classes no, yes`."""
    parts = [
        ", ".join(found for found in (version.runtime, version.task) if found),
        _columns(version.columns),
        f"classes {_listed(version.classes)}" if version.classes else "",
    ]
    return "; ".join(part for part in parts if part)


def describe_metrics(metrics: Mapping[str, Any]) -> str:
    """The metrics that are single numbers: `accuracy 0.912, f1_macro 0.874`."""
    return ", ".join(
        f"{name} {value:.4g}"
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )


def _columns(columns: Mapping[str, str] | None) -> str:
    return _listed([f"{name} ({kind})" for name, kind in (columns or {}).items()])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN
    return ", ".join([*names[:MAX_SHOWN], *([f"and {more} more"] if more > 0 else [])])
