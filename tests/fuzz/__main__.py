"""`python -m tests.fuzz`: mutate model files field by field and check that no mutant harms a child process.

Prints a table. Exits with 1 if a mutant that passed the inspection crashed a process, raised an unexpected
exception, or predicted from uninitialised or foreign memory. SEED selects the mutants, MUTANTS their number
per model; arguments select models by a part of their name, or by `skops` or `onnx`.
"""

import argparse
import os
import sys
from typing import Final

from tests.fuzz import campaign
from tests.fuzz.arena import Arena, Report

MAX_SHOWN: Final = 40


def main() -> int:
    """Run the campaign and print its report."""
    arguments = _parse()
    reports: dict[str, Report] = {}
    shown: dict[str, int] = {}
    with Arena() as arena:
        for target in list(campaign.targets())[arguments.skip :]:
            if not any(part in target.label for part in arguments.names or [""]):
                continue
            report = reports.setdefault(target.kind, Report())
            arena.run(
                target.kind,
                target.label,
                target.rows,
                target.mutants(arguments.seed, arguments.mutants),
                report,
            )
            print(report.row(target.label), file=sys.stderr, flush=True)
            print(*report.findings[shown.get(target.kind, 0) :], sep="\n", file=sys.stderr, flush=True)
            shown[target.kind] = len(report.findings)
    print("\n| files | mutants | refused | accepted | slow | escaped | crashed | differing |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, report in reports.items():
        print(report.row(kind))
    findings = [found for report in reports.values() for found in report.findings]
    print(*findings[:MAX_SHOWN], sep="\n")
    return 1 if findings else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the models to mutate, default all")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--skip", type=int, default=0, help="number of models to skip, to resume a campaign")
    parser.add_argument(
        "--mutants", type=int, default=int(os.environ.get("MUTANTS") or 250), help="mutants per model"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
