"""`python -m tests.mutants`: take each guard away in turn, and see that a test notices.

Works on a copy of the tree. Arguments choose mutants by a part of their names. Ends with 1 if a mutant
survives, or if the tests do not pass without one.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import ROOT, Mutant

PARTS: Final = ("app", "worker", "alembic", "tests", "alembic.ini", "pyproject.toml")
LIMIT_SECONDS: Final = 300
PASSED, FAILED = 0, 1


def main() -> int:
    """Run the mutants and print who caught each of them."""
    arguments = _parse()
    mutants = [mutant for mutant in MUTANTS if any(part in mutant.name for part in arguments.names or [""])]
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as folder:
        # Copied once: whoever works on the tree meanwhile shall not disturb.
        unchanged = _copy(ROOT, Path(folder, "unchanged"))
        exit_code, output = _run(unchanged, tests)
        if exit_code != PASSED:
            print(output, "The tests do not pass even without a mutant.", sep="\n")
            return 1
        with ThreadPoolExecutor(arguments.jobs) as pool:
            catchers = list(pool.map(lambda mutant: _catch(mutant, unchanged), mutants))
    _print_table(mutants, catchers)
    survivors = catchers.count(None)
    print(f"\n{len(mutants)} mutants, {len(mutants) - survivors} caught, {survivors} survived")
    return 1 if survivors else 0


def _catch(mutant: Mutant, unchanged: Path) -> str | None:
    """The test that fails because of this mutant; None if all pass."""
    root = _copy(unchanged, unchanged.with_name(re.sub(r"\W+", "-", mutant.name)))
    try:
        mutant.apply(root)
        exit_code, output = _run(root, mutant.tests)
    finally:
        shutil.rmtree(root)
    print("." if exit_code == FAILED else f"\n{mutant.name} survived\n", end="", file=sys.stderr, flush=True)
    if exit_code == PASSED:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) \S+::(\S+)", output, re.MULTILINE)
    if exit_code != FAILED or failed is None:
        raise RuntimeError(f"{mutant.name}: pytest ended with {exit_code}\n{output}")
    return failed[1]


def _copy(source: Path, root: Path) -> Path:
    root.mkdir()
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source / part, root / part)
    return root


def _run(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", *tests],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return finished.returncode, finished.stdout


def _print_table(mutants: Sequence[Mutant], catchers: Sequence[str | None]) -> None:
    print("\n| mutant | in | caught by |", "|---|---|---|", sep="\n")
    for mutant, catcher in zip(mutants, catchers, strict=True):
        print(f"| {mutant.name} | `{mutant.path}` | {f'`{catcher}`' if catcher else '**nobody**'} |")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the mutants to run; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
