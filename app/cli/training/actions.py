"""What `headrace train` and `headrace evaluate` do."""

from collections.abc import Mapping
from typing import Any, cast

from app.cli.datasets.inputs import ensure_consistent, open_dataset
from app.cli.datasets.options import DatasetOptions
from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.jobs.submitted import print_submitted, watch_jobs
from app.client.options import EvaluateOptions, TrainOptions


@client_errors()
def train(
    server: ServerOptions,
    *,
    source: DatasetOptions,
    target: str,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit a training; print the job, and watch it if asked to."""
    columns = split_column_types(source, file_options)
    user = account(server)
    with connect(user) as client:
        dataset = open_dataset(client, source, file_options, is_quiet=as_json)
        job = client.train(target, dataset=dataset, **cast("TrainOptions", {**options, **columns}))
    print_submitted(job, dataset, as_json=as_json)
    if watch:
        watch_jobs(user, [job.id], as_json=as_json)


@client_errors()
def evaluate(
    server: ServerOptions,
    *,
    model: str,
    target: str,
    source: DatasetOptions,
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit an evaluation; print the job, and watch it if asked to."""
    ensure_rows(source)
    ensure_consistent(source, file_options)
    user = account(server)
    with connect(user) as client:
        dataset = open_dataset(client, source, file_options, is_quiet=as_json)
        job = client.evaluate(model, target, dataset=dataset, **cast("EvaluateOptions", options))
    print_submitted(job, dataset, as_json=as_json)
    if watch:
        watch_jobs(user, [job.id], as_json=as_json)


def split_column_types(source: DatasetOptions, file_options: Mapping[str, Any]) -> dict[str, Any]:
    """The column types of a training, which also apply to an existing dataset. Raises UsageError."""
    ensure_rows(source)
    columns = {name: value for name, value in file_options.items() if name == "columns"}
    ensure_consistent(source, {name: value for name, value in file_options.items() if name not in columns})
    return columns


def ensure_rows(source: DatasetOptions) -> None:
    """Raise UsageError unless there is a dataset."""
    if not source.is_given:
        raise UsageError("No rows: pass --dataset or --dataset-name.")
