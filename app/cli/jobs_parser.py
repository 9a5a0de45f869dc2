"""What `python -m app jobs` understands. Light: the client is imported when a command runs."""

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

COLUMN_TYPES: Final = ("number", "category", "text", "boolean", "timestamp", "id", "ignore")


def add(commands: Any) -> None:
    """Add `jobs` and its actions to the parser of the command line."""
    actions = commands.add_parser("jobs", help="submit, follow and manage jobs over HTTP").add_subparsers(
        required=True, metavar="action"
    )
    _add_submit(_action(actions, "submit", "queue rows to be predicted; prints the job's id"))
    _add_train(_action(actions, "train", "learn a model from a dataset; prints the job's id"))
    _add_list(_action(actions, "list", "your jobs, newest first"))
    _add_ids(_action(actions, "watch", "show the progress of jobs until they have ended"))
    _add_ids(_action(actions, "cancel", "stop jobs"))
    fetch = _action(actions, "results", "the predictions computed so far, in input order")
    fetch.add_argument("job_id", metavar="JOB_ID")
    fetch.add_argument("--format", choices=("ndjson", "csv", "parquet"), default="ndjson")
    fetch.add_argument("--output", type=Path, metavar="FILE", help="a file instead of stdout")
    again = _action(actions, "retry", "have a failed or cancelled job tried again")
    again.add_argument("job_id", metavar="JOB_ID")
    again.add_argument("--from-start", action="store_true", help="clear what it has computed, begin anew")
    again.add_argument("--watch", action="store_true", help="show its progress until it has ended")
    _action(actions, "explain", "why a job is where it is").add_argument("job_id", metavar="JOB_ID")


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    server = parser.add_argument_group("server", "by option or environment; secrets rather by environment")
    server.add_argument("--url", help="HEADRACE_URL; default http://localhost:8000")
    server.add_argument("--username", help="HEADRACE_USERNAME")
    server.add_argument("--password", help="HEADRACE_PASSWORD; asked for at a terminal")
    server.add_argument("--token", help="HEADRACE_TOKEN, instead of username and password")
    parser.set_defaults(command=_command(name))
    return parser


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    def run(arguments: argparse.Namespace) -> None:
        from app.cli import jobs

        jobs.run(name, arguments)

    return run


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="default: stdin, one text a line")
    parser.add_argument("--file", type=Path, metavar="FILE", help="one text a line; - is stdin")
    parser.add_argument(
        "--dataset", metavar="FILE", help="all rows of this file, or of the dataset with this id"
    )
    _add_upload_options(parser)
    parser.add_argument("--column", metavar="NAME", help="the dataset's column with the text")
    parser.add_argument("--id-column", metavar="NAME", help="the column whose value each result carries")
    parser.add_argument("--max-row-errors", type=int, metavar="N", help="with more the job fails")
    parser.add_argument("--watch", action="store_true", help="show its progress until it has ended")
    parser.add_argument(
        "--model", metavar="NAME", help="name, name@version, name@alias or owner/name; default sentiment"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="how many rows are committed at a time")
    _add_job_options(parser)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", required=True, metavar="FILE", help="this file, or the dataset with this id"
    )
    _add_upload_options(parser)
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--feature",
        dest="features",
        action="append",
        metavar="COLUMN",
        help="a column to predict it from; again for each; default: all others that are of use",
    )
    parser.add_argument("--task", choices=("auto", "classification", "regression"))
    parser.add_argument("--algorithm", metavar="NAME", help="one of GET /algorithms; default auto")
    parser.add_argument(
        "--param",
        dest="params",
        type=_param,
        action=_Pairs,
        metavar="NAME=VALUE",
        help="a hyperparameter of the algorithm; again for each",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="default 10")
    parser.add_argument("--validation-fraction", type=float, metavar="X", help="held out; default 0.2")
    parser.add_argument("--seed", type=int, metavar="N", help="the same one gives the same model")
    parser.add_argument("--model", metavar="NAME", help="what to call it; default: by the job")
    parser.add_argument("--watch", action="store_true", help="show its epochs until it has ended")
    _add_job_options(parser)


def _add_upload_options(parser: argparse.ArgumentParser) -> None:
    upload = parser.add_argument_group("how the file is read", "default: as the server finds it")
    upload.add_argument("--delimiter", metavar="CHARACTER", help="of a CSV: , ; | or a tab")
    upload.add_argument("--encoding", metavar="NAME", help="like windows-1252; default UTF-8")
    upload.add_argument(
        "--null-value",
        dest="null_values",
        action="append",
        metavar="TEXT",
        help="counts as missing, like NA; again for each",
    )
    upload.add_argument(
        "--column-type",
        dest="columns",
        type=_declared,
        action=_Pairs,
        metavar="COLUMN=TYPE",
        help=f"what a column holds: {', '.join(COLUMN_TYPES)}; again for each",
    )


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--priority", choices=("low", "normal", "high", "critical"))
    parser.add_argument("--queue", metavar="NAME")
    parser.add_argument("--max-attempts", type=int, metavar="N")
    parser.add_argument("--soft-limit-seconds", type=int, metavar="N")
    parser.add_argument("--time-limit-seconds", type=int, metavar="N")
    parser.add_argument("--expires-in-seconds", type=int, metavar="N", help="of the results, after the end")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--run-at", type=_instant, metavar="INSTANT", help="not before: 2026-03-01T12:00:00Z")
    start.add_argument("--delay-seconds", type=float, metavar="N", help="not before this has passed")
    _add_metadata(parser, "can be searched for")
    parser.add_argument(
        "--idempotency-key", metavar="KEY", help="the same key and request give the same job again"
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=("pending", "running", "completed", "failed", "cancelled"))
    parser.add_argument("--kind", metavar="NAME")
    parser.add_argument("--queue", metavar="NAME")
    parser.add_argument("--model", metavar="NAME")
    _add_metadata(parser, "only jobs with this pair")
    parser.add_argument("--limit", type=_positive, default=20, metavar="N", help="how many; default 20")
    parser.add_argument("--format", choices=("table", "ndjson"), default="table")


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job_ids", nargs="+", metavar="JOB_ID")


def _add_metadata(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--metadata", type=_pair, action=_Pairs, metavar="KEY=VALUE", help=text)


class _Pairs(argparse.Action):
    """Collects pairs in a dictionary."""

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, values: Any, _option: object = None
    ) -> None:
        key, value = values
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), key: value})


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError("a pair is written KEY=VALUE")
    return key, value


def _declared(text: str) -> tuple[str, str]:
    """A column, whose name may have a `=`, and what it holds."""
    column, _, kind = text.rpartition("=")
    if not column or kind not in COLUMN_TYPES:
        raise argparse.ArgumentTypeError(f"write COLUMN=TYPE, with a type out of {', '.join(COLUMN_TYPES)}")
    return column, kind


def _param(text: str) -> tuple[str, Any]:
    """A hyperparameter: a number, true, false or null as JSON has them, anything else as a text."""
    name, value = _pair(text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError("an instant needs a time zone: 2026-03-01T12:00:00Z")
    return instant


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it takes at least 1")
    return number
