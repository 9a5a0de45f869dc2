"""What the commands of `headrace models` do."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import typer

from app.cli.datasets.inputs import ensure_consistent, open_dataset
from app.cli.datasets.options import DatasetOptions
from app.cli.errors import CommandFailed, UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.jobs.submitted import print_submitted, watch_jobs
from app.cli.models.report_table import print_report
from app.cli.models.table import describe as summary
from app.cli.models.table import (
    print_algorithms,
    print_evaluations,
    print_models,
    print_version,
    print_versions,
)
from app.cli.output import opened, print_json
from app.client import Headrace, Model, ModelVersion
from app.client.model_values import ModelReference
from app.client.models import ModelChanges, PlotFormat, VersionChanges, Visibility
from app.client.options import JobOptions

PAGE_SIZE: Final = 100


@client_errors()
def upload(
    server: ServerOptions,
    *,
    model: str,
    file: Path,
    alias: str | None,
    classes: Sequence[str] | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Upload a file, and print the reference of the version."""
    with connect(account(server)) as client:
        try:
            version = client.upload_model(
                model, file, alias=alias, classes=classes, idempotency_key=idempotency_key
            )
        except OSError as error:
            raise CommandFailed(f"cannot read {file}: {error.strerror}", code="file_not_readable") from error
    if as_json:
        print_json(version.raw)
        return
    print(version.reference, flush=True)
    print(summary(version), file=sys.stderr)


@client_errors()
def list_models(server: ServerOptions, *, limit: int, tags: Mapping[str, str], as_json: bool) -> None:
    """Print models, newest first."""
    with connect(account(server)) as client:
        found = list(islice(client.models(tags=tags, page_size=min(limit, PAGE_SIZE)), limit))
    if as_json:
        print_json({"items": [model.raw for model in found]})
    else:
        print_models(found)


@client_errors()
def show(server: ServerOptions, *, model: str, as_json: bool) -> None:
    """Print a version."""
    with connect(account(server)) as client:
        version = client.model_version(model)
    if as_json:
        print_json(version.raw)
    else:
        print_version(version)


@client_errors()
def versions(
    server: ServerOptions, *, model: str, limit: int, tags: Mapping[str, str], as_json: bool
) -> None:
    """Print the versions of a model, newest first."""
    with connect(account(server)) as client:
        pages = client.model_versions(model, tags=tags, page_size=min(limit, PAGE_SIZE))
        found = list(islice(pages, limit))
    if as_json:
        print_json({"items": [version.raw for version in found]})
    else:
        print_versions(found)


@client_errors()
def evaluations(server: ServerOptions, *, model: str, dataset: str | None, limit: int, as_json: bool) -> None:
    """Print the evaluations of a model, newest first."""
    with connect(account(server)) as client:
        flow = client.evaluations(model, dataset=dataset, page_size=min(limit, PAGE_SIZE))
        found = list(islice(flow, limit))
    if as_json:
        print_json({"items": [evaluation.raw for evaluation in found]})
    else:
        print_evaluations(found)


@client_errors()
def set_alias(server: ServerOptions, *, model: str, alias: str, as_json: bool) -> None:
    """Point an alias to a version, and print which."""
    with connect(account(server)) as client:
        changed = client.set_alias(model, alias)
    if as_json:
        print_json(changed.raw)
    else:
        print(f"{changed.name}@{alias} is {changed.name}@{changed.aliases[alias]}")


@client_errors()
def delete_alias(server: ServerOptions, *, model: str, alias: str, as_json: bool) -> None:
    """Delete an alias, and print it."""
    with connect(account(server)) as client:
        client.delete_alias(model, alias)
    if as_json:
        print_json({"model": model, "alias": alias, "deleted": True})
    else:
        print(f"{model}@{alias} deleted")


@client_errors()
def set_visibility(server: ServerOptions, *, model: str, visibility: Visibility, as_json: bool) -> None:
    """Make a model public or private, and print how others refer to it."""
    with connect(account(server)) as client:
        changed = client.change_model(model, visibility=visibility)
    if as_json:
        print_json(changed.raw)
    else:
        print(f"{changed.reference} {changed.visibility}")


@client_errors()
def download(server: ServerOptions, *, model: str, output: Path | None, as_json: bool) -> None:
    """Write the file of a version to stdout or to a file."""
    _write(server, model, output, lambda client, version: client.download_model(version), as_json=as_json)


@client_errors()
def export(server: ServerOptions, *, model: str, output: Path | None, as_json: bool) -> None:
    """Write a version as an MLflow model directory to stdout or to a file."""
    _write(server, model, output, lambda client, version: client.export_model(version), as_json=as_json)


@client_errors()
def describe(server: ServerOptions, *, model: str, description: str | None, as_json: bool) -> None:
    """Describe a model or a version, and print it."""
    _change(server, model, {"description": description}, as_json=as_json)


@client_errors()
def tag(server: ServerOptions, *, model: str, tags: Mapping[str, str], as_json: bool) -> None:
    """Replace the tags of a model or a version, and print them."""
    _change(server, model, {"tags": tags}, as_json=as_json)


@client_errors()
def convert(
    server: ServerOptions,
    *,
    model: str,
    name: str | None,
    source: DatasetOptions,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit a conversion; print the job, and watch it if asked to."""
    ensure_consistent(source, file_options)
    user = account(server)
    with connect(user) as client:
        dataset = open_dataset(client, source, file_options, is_quiet=as_json) if source.is_given else None
        job = client.convert_model(model, name=name, dataset=dataset, **cast("JobOptions", options))
    print_submitted(job, dataset, as_json=as_json)
    if watch:
        watch_jobs(user, [job.id], as_json=as_json)


def _change(server: ServerOptions, model: str, changes: VersionChanges, *, as_json: bool) -> None:
    is_version = ModelReference.parse(model).version is not None
    with connect(account(server)) as client:
        changed: Model | ModelVersion = (
            client.change_model_version(model, **changes)
            if is_version
            else client.change_model(model, **cast("ModelChanges", changes))
        )
    if as_json:
        print_json(changed.raw)
        return
    tags = " ".join(f"{key}={value}" for key, value in changed.tags.items())
    print(": ".join(part for part in (changed.reference, changed.description, tags) if part))


def _write(
    server: ServerOptions,
    model: str,
    output: Path | None,
    read: Callable[[Headrace, ModelVersion], Iterator[bytes]],
    *,
    as_json: bool,
) -> None:
    """Write bytes of a version to stdout or to a file."""
    if output is None:
        if as_json:
            raise UsageError("--json: name the file to write with --output.")
        if sys.stdout.isatty():
            raise UsageError("The file of a model is binary: name a file with --output, or redirect stdout.")
    written = 0
    with connect(account(server)) as client:
        version = client.model_version(model)
        with opened(output) as write:
            for piece in read(client, version):
                write(piece)
                written += len(piece)
    if as_json:
        print_json({"model": version.reference, "output": str(output), "bytes": written})


@client_errors()
def report(server: ServerOptions, *, model: str, as_json: bool) -> None:
    """Print the report of a version."""
    with connect(account(server)) as client:
        found = client.model_report(model)
    if as_json:
        print_json(found)
    else:
        print_report(found)


@client_errors()
def card(server: ServerOptions, *, model: str, as_json: bool) -> None:
    """Print the model card of a version."""
    with connect(account(server)) as client:
        found = client.model_card(model)
    if as_json:
        print_json({"card": found})
    else:
        print(found, end="")


@client_errors()
def plots(server: ServerOptions, *, model: str, folder: Path, file_format: PlotFormat, as_json: bool) -> None:
    """Write all plots of a version into a folder, and print their paths."""
    written = []
    with connect(account(server)) as client:
        version = client.model_version(model)
        for plot in client.model_plots(version):
            path = folder / f"{plot}.{file_format}"
            image = client.model_plot(version, plot, format=file_format)
            _write_plot(path, image)
            written.append(str(path))
            if not as_json:
                print(path, flush=True)
    if as_json:
        print_json({"model": version.reference, "files": written})


@client_errors()
def delete(server: ServerOptions, *, model: str, is_confirmed: bool, as_json: bool) -> None:
    """Delete a version, or after a confirmation a model with all its versions."""
    is_version = ModelReference.parse(model).version is not None
    if not (is_version or is_confirmed):
        typer.confirm(f"Delete the model {model} with all its versions?", abort=True, err=True)
    with connect(account(server)) as client:
        if is_version:
            client.delete_model_version(model)
        else:
            client.delete_model(model)
    if as_json:
        print_json({"model": model, "deleted": True})
    else:
        print(f"{model} deleted")


@client_errors()
def algorithms(server: ServerOptions, *, as_json: bool) -> None:
    """Print the algorithms of trainings."""
    with connect(account(server)) as client:
        found = client.algorithms()
    if as_json:
        print_json({"items": [algorithm.raw for algorithm in found]})
    else:
        print_algorithms(found)


def _write_plot(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}", code="file_not_writable") from error
