"""`python -m bench`: run the benchmarks one after the other, then write docs/performance.md.

python -m bench                     all benchmarks at full length: about an hour on two cores
python -m bench streams cancel      only these two
python -m bench --quick             a short run that only checks that every script works
"""

import argparse
import subprocess
import sys

from bench import page
from bench.figures import FIGURES
from bench.options import ROUNDS
from bench.stack import ROOT

SCRIPTS = [figure.script for figure in FIGURES]


def main() -> int:
    """Run each script in its own process; return 1 if any of them failed."""
    arguments = _parse()
    failed = []
    for script in arguments.scripts or SCRIPTS:
        print(f"\n== {script}", flush=True)
        command = [sys.executable, "-m", f"bench.{script}", "--rounds", str(arguments.rounds)]
        if arguments.quick:
            command.append("--quick")
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(script)
    page.write()
    print(f"\nWrote {page.PAGE.relative_to(ROOT)}")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scripts", nargs="*", metavar="SCRIPT", help=f"benchmarks to run, default all: {', '.join(SCRIPTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="short run whose figures do not count")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="number of alternating rounds")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.scripts) - set(SCRIPTS)):
        parser.error(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(SCRIPTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
