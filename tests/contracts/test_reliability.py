"""The pages on reliability and security name the tests of each promise, and `make check` runs them all."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support import selection

ROOT = Path(__file__).parents[2]
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", RELIABILITY + SECURITY)))
PROMISES = re.findall(r"^\d+\. \*\*.*?(?=^\d+\. |\n\n)", RELIABILITY, re.MULTILINE | re.DOTALL)
SECTIONS = dict(re.findall(r"^##+ ([^\n]+)\n\n(.*?)(?=^##|\Z)", SECURITY, re.MULTILINE | re.DOTALL))
ROLLOUTS = RELIABILITY[RELIABILITY.index("**Rollouts.**") :].partition("\n\n")[0]
DRILLS = set(re.findall(r"`(tests/[^`\s]+)`", ROLLOUTS))
"""Tests of minutes, which show that the guarantees hold together while versions and workers come and go."""

LEFT_OUT = re.compile(r"^(pytestmark = .*|@)pytest\.mark\.(huge|drill)\b", re.MULTILINE)
WITHOUT_PROMISES = {
    "Threat model",
    "Children and model files",
    "What an operator must do",
    "What is not promised",
}
"""Headings of docs/security.md; the second has only sections of its own."""


def test_every_promise_names_its_tests() -> None:
    assert len(PROMISES) == 10
    for promise in PROMISES:
        assert re.search(r"\*Tests:\* `tests/.*test_\w+\.py", promise, re.DOTALL), promise


@pytest.mark.parametrize("heading", sorted(set(SECTIONS) - WITHOUT_PROMISES))
def test_every_section_on_security_names_its_tests(heading: str) -> None:
    assert re.search(r"`tests/[^`]+`", SECTIONS[heading])


def test_the_other_headings_exist() -> None:
    assert set(SECTIONS) > WITHOUT_PROMISES


@pytest.mark.parametrize("named", NAMED)
def test_every_test_that_the_page_names_exists(named: str) -> None:
    path, _, test = named.partition("::")

    assert (ROOT / path).exists(), path
    if test:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), named


MUTANTS: Final = "-m tests.mutants --no-baseline --share 16"
TESTS: Final = "-m pytest -n 3 --dist worksteal -rsfE -m not thorough and not huge and not drill"


@pytest.mark.parametrize("failing", ["nothing", "tests.mutants", "pytest"])
def test_make_check_runs_a_share_of_the_mutants_then_the_tests_and_fails_if_either_does(
    tmp_path: Path, failing: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*"\ncase "$*" in "-m {failing} "*) exit 1;; esac\n')
    python.chmod(0o755)
    # What it needs is taken to be done.
    done = [f"--assume-old={target}" for target in ("lint", "types", "imports")]

    ended = subprocess.run(
        ["make", "--no-print-directory", *done, "check", f"PY={python}", "ARGS="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.splitlines() == [MUTANTS, TESTS], "the summary of the tests closes the log"
    assert (ended.returncode == 0) == (failing == "nothing")


def test_what_make_check_leaves_out_proves_no_guarantee() -> None:
    left_out = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if LEFT_OUT.search(path.read_text(encoding="utf-8"))
    }

    assert left_out == {
        "tests/dashboard/test_large_files.py",
        "tests/datasets/test_wide_and_long.py",
        "tests/faults/test_rolling_update.py",
        "tests/faults/test_scaled_fleet.py",
        "tests/monitoring/test_alert_drill.py",
        "tests/worker/preprocessing/test_million.py",
    }
    thorough = {f"tests/{path}" for path in selection.THOROUGH_PATHS}
    assert not (left_out | thorough) & {name.partition("::")[0] for name in set(NAMED) - DRILLS}


def test_ci_runs_make_check() -> None:
    assert "exec make check" in (ROOT / ".ci" / "run").read_text()
