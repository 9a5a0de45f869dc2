"""The entry point `headrace`: help, version, completion, and use from any folder."""

import os
import re
import subprocess
import sys
import sysconfig
import typing
import venv
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from app.cli.jobs import options, values
from app.client import options as client_options
from app.core.version import VERSION
from tests.support.processes import ROOT

COMMANDS = [
    ("demo",),
    ("dev",),
    ("serve",),
    ("migrate",),
    ("servers",),
    ("users", "create"),
    *(("keys", name) for name in ("create", "list", "revoke")),
    *(
        ("jobs", name)
        for name in ("submit", "train", "list", "watch", "cancel", "results", "retry", "explain")
    ),
]


def app(*arguments: str, **environment: str) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**os.environ, "COLUMNS": "120", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )


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


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_json_and_an_example(command: tuple[str, ...]) -> None:
    done = app(*command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: headrace {' '.join(command)}" in done.stdout
    assert "--json" in done.stdout
    assert f"headrace {' '.join(command)}" in done.stdout.partition("Examples:")[2]


def test_the_help_documents_the_exit_codes() -> None:
    assert re.findall(r"^ +(\d+)  ", app("--help").stdout, re.MULTILINE) == ["0", "1", "2", "130", "143"]


def test_the_page_documents_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()

    for command in COMMANDS:
        title = "users" if command[0] == "users" else " ".join(command)  # these share a section
        assert f"### `headrace {title}`" in page
        section = page.partition(f"### `headrace {title}`")[2].partition("\n### ")[0]
        shared = ""
        if command[0] in ("jobs", "keys"):
            shared = page.partition("## Options of all `jobs` commands")[2]
        shown = set(re.findall(r"^│ \*? *(--[a-z-]+)", app(*command, "--help").stdout, re.MULTILINE))
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
    for ours, theirs in (
        (options.Priority, client_options.Priority),
        (options.Task, client_options.Task),
        (options.ExportFormat, client_options.Format),
        (values.ColumnType, client_options.Declared),
    ):
        assert typing.get_args(ours) == typing.get_args(theirs)
