"""`python -m bench`: all figures one after the other, then docs/performance.md.

python -m bench                     everything, as it counts: about an hour on two cores
python -m bench streams cancel      these two
python -m bench --quick             the short form: see that every script runs
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
    """Run the scripts, each in a process of its own; say at the end which did not come through."""
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
    print(f"\nWritten: {page.PAGE.relative_to(ROOT)}")
    if failed:
        print(f"Did not come through: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"some of: {', '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="how often ours and the reference take turns"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.scripts) - set(SCRIPTS)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
