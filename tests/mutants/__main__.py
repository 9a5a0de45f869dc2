"""`python -m tests.mutants`: take each guard away in turn, and see that a test notices.

Works on copies of the tree, with one Postgres for all of them. Arguments choose mutants by a part of their
names, `--changed COMMIT` those whose source or tests have changed since a commit, and `--share N` one of N
parts, drawn anew for each commit. Ends with 1 if a mutant survives, or if the tests do not pass without one
(`--no-baseline` leaves that run out, for `make check`, which runs these tests anyway).
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from app.embedded.postgres import EmbeddedPostgres
from tests.mutants.catalogue import MUTANTS
from tests.mutants.forks import Ended, Run, run_all
from tests.mutants.mutant import ROOT, Mutant
from tests.support import shared_postgres

PARTS: Final = ("app", "worker", "alembic", "tests", "alembic.ini", "pyproject.toml")
NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
PASSED: Final = 0
MORE_RUNS: Final = 2
"""So often a mutant that survived is tried again."""


def main() -> int:
    """Run the mutants and print who caught each of them."""
    arguments = _parse()
    mutants = _chosen(arguments)
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres, which is another user where we are root, passes through
        postgres = EmbeddedPostgres(folder / "postgres", options=NOT_DURABLE)
        postgres.start()
        try:
            os.environ.update(shared_postgres.environment(postgres))
            # Copied once: changes made in the tree meanwhile must not disturb.
            unchanged = copy(ROOT, folder / "unchanged")
            if arguments.baseline and not _passes(unchanged, mutants, arguments.jobs):
                return 1
            return _run(unchanged, mutants, folder, arguments.jobs)
        finally:
            postgres.stop()


def _chosen(arguments: argparse.Namespace) -> list[Mutant]:
    chosen = [mutant for mutant in MUTANTS if any(part in mutant.name for part in arguments.names or [""])]
    if arguments.changed is not None:
        chosen = of_changes(chosen, frozenset(_git("diff", "--name-only", arguments.changed).split()))
    if arguments.share > 1:
        seed = arguments.seed or _git("rev-parse", "HEAD").strip()
        chosen = part_of(chosen, arguments.share, seed)
        print(f"{len(chosen)} of {len(MUTANTS)} mutants; again with: --share {arguments.share} --seed {seed}")
    return chosen


def of_changes(mutants: Sequence[Mutant], paths: frozenset[str]) -> list[Mutant]:
    """Those whose source, or the file of one of whose tests, is among these paths."""
    return [
        mutant
        for mutant in mutants
        if not paths.isdisjoint({mutant.path, *(test.partition("::")[0] for test in mutant.tests)})
    ]


def part_of(mutants: Sequence[Mutant], share: int, seed: str) -> list[Mutant]:
    """About one of `share`, the same ones for the same seed."""
    return [mutant for mutant in mutants if random.Random(f"{seed}: {mutant.name}").random() < 1 / share]


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _passes(unchanged: Path, mutants: Sequence[Mutant], jobs: int) -> bool:
    """Whether the tests of these mutants pass without one."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = [tuple(found) for _, found in groupby(tests, lambda test: test.partition("::")[0])]
    failed = [
        ended for ended in run_all([Run(unchanged, found) for found in files], jobs) if ended.code != PASSED
    ]
    for one in failed:
        print(f"exit code {one.code}\n{one.output}")
    if failed:
        names = "; ".join(name for one in failed for name in _failed(one) or ("one that did not end",))
        print(f"The tests do not pass even without a mutant: {names}")
    return not failed


def _run(unchanged: Path, mutants: Sequence[Mutant], folder: Path, jobs: int) -> int:
    runs = [
        Run(folder / f"mutant-{number}", mutant.tests, partial(_mutate, unchanged, mutant))
        for number, mutant in enumerate(mutants)
    ]
    catchers = [catcher(one) for one in run_all(runs, jobs)]
    for again in range(MORE_RUNS):
        # The loss of a guard against a race is not noticed every time.
        escaped = [number for number, found in enumerate(catchers) if found is None]
        if escaped:
            print(
                f"\nrun {again + 2} of {summary(len(mutants), [mutants[number].name for number in escaped])}"
            )
        for number, one in zip(escaped, run_all([runs[number] for number in escaped], jobs), strict=True):
            catchers[number] = catcher(one)
    _print_table(mutants, catchers)
    survivors = [mutant.name for mutant, catcher in zip(mutants, catchers, strict=True) if catcher is None]
    print(f"\n{summary(len(mutants), survivors)}")
    return 1 if survivors else 0


def summary(count: int, survivors: Sequence[str]) -> str:
    """One line, the last one printed, that names each survivor: a log of CI may keep no more than its end."""
    told = f"{count} mutants, {count - len(survivors)} caught, {len(survivors)} survived"
    return f"{told}: {'; '.join(survivors)}" if survivors else told


def catcher(ended: Ended) -> str | None:
    """The test that failed; None if all passed, or if pytest ended before one of them could fail."""
    # What a failed test leaves open may end pytest itself with any code.
    if ended.code != PASSED and (failed := _failed(ended)):
        return failed[0]
    if ended.code != PASSED:
        print(f"pytest ended with {ended.code}\n{ended.output}")
    return None


def _failed(ended: Ended) -> list[str]:
    return re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", ended.output, re.MULTILINE)


def _mutate(unchanged: Path, mutant: Mutant, root: Path) -> None:
    copy(unchanged, root, link=True)
    mutant.apply(root)


def copy(source: Path, root: Path, *, link: bool = False) -> Path:
    """A copy of the tree with its compiled modules; of hard links if no file in it is written to."""
    root.mkdir()
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, root / part, copy_function=os.link if link else shutil.copy2)
        else:
            shutil.copy2(source / part, root / part)
    return root


def _print_table(mutants: Sequence[Mutant], catchers: Sequence[str | None]) -> None:
    print("\n| mutant | in | caught by |", "|---|---|---|", sep="\n")
    for mutant, catcher in zip(mutants, catchers, strict=True):
        print(f"| {mutant.name} | `{mutant.path}` | {f'`{catcher}`' if catcher else '**nobody**'} |")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the mutants to run; default: all")
    parser.add_argument(
        "--changed", metavar="COMMIT", help="only those whose source or tests have changed since"
    )
    parser.add_argument("--share", type=int, default=1, metavar="N", help="about one of N, drawn by the seed")
    parser.add_argument("--seed", help="default: the id of the current commit")
    # Many tests wait for another process half of the time.
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 2) + 1, help="how many at a time")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="only run the mutants")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
