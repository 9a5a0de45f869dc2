"""The command line: `headrace`, or `python -m app`."""

import sys
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from app.cli import service_commands
from app.cli.datasets.commands import datasets
from app.cli.errors import CommandFailed, ExitCode
from app.cli.jobs.commands import jobs
from app.cli.keys.commands import keys
from app.cli.models.commands import models
from app.cli.options import examples
from app.cli.output import print_error
from app.cli.predictions.commands import predict
from app.cli.preprocessing.commands import preprocess
from app.cli.schedules.commands import schedules
from app.cli.searches.commands import search
from app.cli.subscriptions.commands import subscriptions
from app.cli.training.commands import evaluate, train
from app.core import hardening
from app.core.errors import AppError, ConfigurationError
from app.core.version import VERSION
from app.embedded.errors import EmbeddedServerError

PROGRAM: Final = "headrace"

app = typer.Typer(
    help="Headrace, an ML job service: run it, train models, and predict.",
    epilog=(
        "Exit codes:\n"
        "  0    success; dev, serve and servers: stopped by Ctrl+C or SIGTERM\n"
        "  1    failure, or a watched job did not complete\n"
        "  2    wrong usage\n"
        "  130  any other command: interrupted by Ctrl+C\n"
        "  143  any other command: stopped by SIGTERM\n\n"
        "Examples:\n"
        "  headrace dev\n"
        '  headrace predict "What a lovely day"\n'
        "  headrace train --dataset houses.csv --target price --watch\n"
        "  headrace jobs list --json"
    ),
    pretty_exceptions_enable=False,
)
service_commands.add_to(app)
app.command(
    epilog=examples(
        'headrace predict "What a lovely day" "It broke at once."',
        """headrace predict --model houses --row '{"rooms": 3, "town": "Oslo"}'""",
        "headrace predict --model houses --dataset houses.csv --output predictions.csv",
        "sort texts.txt | headrace predict --format csv > predictions.csv",
    )
)(predict)
app.command(
    epilog=examples(
        "headrace train --dataset houses.csv --target price --model houses --watch",
        "headrace train --dataset houses.csv --target sold --param max_depth=5",
        "headrace train --dataset-name houses.csv --target price --model houses --promote prod",
    )
)(train)
app.command(
    epilog=examples("headrace evaluate houses@prod --dataset houses-of-may.csv --target price --watch")
)(evaluate)
app.command(
    epilog=examples(
        "headrace preprocess reviews.csv steps.json --name reviews-clean --watch",
        """echo '[{"step": "deduplicate"}]' | headrace preprocess reviews.csv -""",
    )
)(preprocess)
app.add_typer(search, name="search")
app.add_typer(datasets, name="datasets")
app.add_typer(models, name="models")
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(schedules, name="schedules")
app.add_typer(subscriptions, name="subscriptions")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"{PROGRAM} {VERSION}")
        raise typer.Exit


@app.callback()
def _global_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version.", show_default=False
        ),
    ] = False,
) -> None:
    pass


def main() -> int:
    """Run the command that `sys.argv` names, and return its exit code."""
    hardening.make_undumpable()  # before any setting is read
    as_json = "--json" in sys.argv  # also when the arguments cannot be parsed
    try:
        exit_code: Any = get_command(app).main(prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        detail = error.format_message().removesuffix(".") + "."
        print_error(detail, code="usage_error", as_json=as_json, hint=_hint(error))
        return ExitCode.USAGE
    except typer.Abort:
        print_error("Aborted.", code="aborted", as_json=as_json)
        return ExitCode.FAILURE
    except CommandFailed as error:
        hint = "" if error.advice is None else f" {error.advice}"
        print_error(error.detail, code=error.code, as_json=as_json, facts=error.facts, hint=hint)
        return error.exit_code
    except AppError as error:
        print_error(error.detail, code=error.code, as_json=as_json, facts=error.facts)
        return ExitCode.FAILURE
    except (ConfigurationError, EmbeddedServerError) as error:
        code = "configuration_error" if isinstance(error, ConfigurationError) else "embedded_server_error"
        print_error(str(error), code=code, as_json=as_json)
        return ExitCode.FAILURE
    if exit_code == ExitCode.INTERRUPTED and as_json:
        print_error("Interrupted by Ctrl+C.", code="interrupted", as_json=True)
    return int(exit_code or ExitCode.SUCCESS)


def _hint(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    return "" if context is None else f" Try '{context.command_path} --help'."
