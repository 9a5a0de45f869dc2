"""The entry point `headrace`: help, version, completion, and use from any folder."""

import io
import os
import re
import subprocess
import sys
import sysconfig
import typing
import venv
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.cli import main
from app.cli.datasets import options as dataset_options
from app.cli.jobs import options, values
from app.cli.schedules import options as schedule_options
from app.cli.training import options as training_options
from app.client import options as client_options
from app.client import schedules as client_schedules
from app.core.version import VERSION
from tests.support import processes
from tests.support.processes import ROOT


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, as the words after `headrace`."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands(typing.cast(TyperGroup, get_command(main.app))))


def app(*arguments: str, **environment: str) -> CompletedProcess[str]:
    return processes.run("app", *arguments, env={**os.environ, "COLUMNS": "120", **environment})


@pytest.fixture(scope="module")
def headrace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry point as `make` writes it, in a virtual environment of its own that has our packages."""
    folder = tmp_path_factory.mktemp("entry-point") / "venv"
    venv.create(folder, symlinks=True)
    [site_packages] = folder.glob("lib/python*/site-packages")
    (site_packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(["make", "-s", f"VENV={folder}", f"{folder}/bin/headrace"], cwd=ROOT, check=True)
    return folder / "bin" / "headrace"


def test_the_version_is_printed(headrace: Path, tmp_path: Path) -> None:
    shown = subprocess.run([headrace, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert shown.stdout == app("--version").stdout == f"headrace {VERSION}\n"


def test_it_runs_in_a_folder_with_another_package_of_our_name(headrace: Path, tmp_path: Path) -> None:
    for name in ("app", "worker"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    done = subprocess.run([headrace, "jobs", "--help"], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "headrace jobs [OPTIONS] COMMAND" in done.stdout


@cache
def help_of(command: tuple[str, ...]) -> str:
    """What `headrace COMMAND --help` prints, in this process: one for each command would take minutes."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown):
        patch.setenv("COLUMNS", "120")
        get_command(main.app).main([*command, "--help"], prog_name="headrace", standalone_mode=False)
    return shown.getvalue()


def test_the_help_of_a_process_is_what_these_tests_read() -> None:
    done = app("jobs", "list", "--help")

    assert (done.returncode, done.stderr, done.stdout) == (0, "", help_of(("jobs", "list")))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_json_and_an_example(command: tuple[str, ...]) -> None:
    shown = help_of(command)

    assert f"Usage: headrace {' '.join(command)}" in shown
    assert "--json" in shown
    assert f"headrace {' '.join(command)}" in shown.partition("Examples:")[2]


def test_the_help_documents_the_exit_codes() -> None:
    assert re.findall(r"^ +(\d+)  ", app("--help").stdout, re.MULTILINE) == ["0", "1", "2", "130", "143"]


def test_every_option_is_in_lower_case() -> None:
    """Typer takes a metavar that is the name of the parameter for the name of the option: `--ALIAS`."""

    def options(group: TyperGroup) -> Iterator[str]:
        for command in group.commands.values():
            if isinstance(command, TyperGroup):
                yield from options(command)
            else:
                yield from (name for parameter in command.params for name in parameter.opts)

    root = typing.cast(TyperGroup, get_command(main.app))

    assert [name for name in options(root) if name.startswith("--") and name != name.lower()] == []


def test_the_page_documents_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()

    for command in COMMANDS:
        heading = f"### `headrace {' '.join(command)}`"
        if heading not in page:  # a section for the whole group, with a table of its commands
            heading = f"### `headrace {command[0]}`"
            assert f"\n| `{' '.join(command)}" in page or f", `{' '.join(command)}" in page, command
        section = page.partition(heading)[2].partition("\n### ")[0]
        shared = ""
        shown = set(re.findall(r"^│ \*? *(--[a-z-]+)", help_of(command), re.MULTILINE))
        if "--url" in shown:
            shared = page.partition("## Options of all commands over HTTP")[2]
        for option in shown - {"--json", "--help"}:
            assert f"`{option}" in section + shared, (command, option)


def in_bash(*arguments: str, **environment: str) -> CompletedProcess[str]:
    """Run the command line as a child of bash, which it detects."""
    return subprocess.run(
        ["bash", "-c", '"$@"; exit $?', "bash", sys.executable, "-m", "app", *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_the_completion_script_of_the_current_shell_is_printed() -> None:
    done = in_bash("--show-completion")

    assert (done.returncode, done.stderr) == (0, "")
    assert "complete -o default -F _headrace_completion headrace" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("headrace jo", ["jobs"]),
        ("headrace keys create a --scope models", ["models:*"]),
        ("headrace jobs re", ["results", "retry"]),
        ("headrace jobs list --st", ["--status"]),
        ("headrace jobs list --status comp", ["completed"]),
        ("headrace schedules create a --overlap re", ["replace"]),
        ("headrace users create ada --role ", ["viewer", "user", "operator", "admin"]),
    ],
)
def test_commands_options_and_values_are_completed(words: str, expected: list[str]) -> None:
    position = len(words.split(" ")) - 1
    done = app(_HEADRACE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(position))

    assert done.stdout.split() == expected


def test_completion_is_installed_into_the_shell(tmp_path: Path) -> None:
    done = in_bash("--install-completion", HOME=str(tmp_path))

    assert done.returncode == 0
    assert "_HEADRACE_COMPLETE" in (tmp_path / ".bash_completions" / "headrace.sh").read_text()


def test_a_mistyped_command_gets_a_suggestion() -> None:
    done = app("job")

    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'jobs'?" in done.stderr


def test_the_help_imports_neither_the_api_nor_the_client() -> None:
    program = (
        "import sys; sys.argv[1:] = ['jobs', 'submit', '--help']\n"
        "from app.cli.main import main\n"
        "main()\n"
        "print(*[name for name in ('fastapi', 'httpx', 'sqlalchemy', 'worker') if name in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50
    )

    assert done.stderr.strip() == ""


def test_choices_are_those_of_the_client() -> None:
    schedule_hints = typing.get_type_hints(client_schedules.ScheduleOptions)
    filter_hints = typing.get_type_hints(client_schedules.ScheduleFilters)
    for ours, theirs in (
        (options.Priority, client_options.Priority),
        (training_options.Task, client_options.Task),
        (options.ExportFormat, client_options.Format),
        (dataset_options.FileFormat, client_options.FileFormat),
        (values.ColumnType, client_options.Declared),
        (schedule_options.CatchUp, schedule_hints["catch_up"]),
        (schedule_options.Overlap, schedule_hints["overlap"]),
        (schedule_options.Status, filter_hints["status"]),
    ):
        assert typing.get_args(ours) == typing.get_args(theirs)
