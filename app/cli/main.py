"""The command line: `headrace`, or `python -m app`."""

import sys
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from app.cli import service_commands
from app.cli.errors import CommandFailed, ExitCode
from app.cli.jobs.commands import jobs
from app.cli.keys.commands import keys
from app.cli.output import print_error
from app.core import hardening
from app.core.errors import AppError, ConfigurationError
from app.core.version import VERSION
from app.embedded.errors import EmbeddedServerError

PROGRAM: Final = "headrace"

app = typer.Typer(
    help="Headrace, an ML job service: run it, and submit jobs to it.",
    epilog=(
        "Exit codes:\n"
        "  0    success; dev, serve and servers: stopped by Ctrl+C or SIGTERM\n"
        "  1    failure, or a watched job did not complete\n"
        "  2    wrong usage\n"
        "  130  any other command: interrupted by Ctrl+C\n"
        "  143  any other command: stopped by SIGTERM\n\n"
        "Examples:\n"
        "  headrace dev\n"
        '  headrace jobs submit "What a lovely day" --watch\n'
        "  headrace jobs list --json"
    ),
    pretty_exceptions_enable=False,
)
service_commands.add_to(app)
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")


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
        print_error(error.detail, code=error.code, as_json=as_json, facts=error.facts)
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
