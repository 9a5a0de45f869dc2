"""Command-line options of every benchmark."""

import argparse
from dataclasses import dataclass
from typing import TypeVar

ROUNDS = 3

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How much to measure. A quick run only shows that the script works: its figures do not count."""

    is_quick: bool
    rounds: int

    def choose(self, full: T, quick: T) -> T:
        """Return `full`, or `quick` in a quick run."""
        return quick if self.is_quick else full


def parse(description: str | None) -> Options:
    """Parse the command line of a benchmark."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short run whose figures do not count")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="number of alternating rounds")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return Options(is_quick=arguments.quick, rounds=arguments.rounds)
