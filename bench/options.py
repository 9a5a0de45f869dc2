"""What every script of this folder can be told."""

import argparse
from dataclasses import dataclass
from typing import TypeVar

ROUNDS = 3

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How much to measure. The short form only shows that a script runs: its figures do not count."""

    is_quick: bool
    rounds: int

    def choose(self, whole: T, short: T) -> T:
        """The first, or the second in the short form."""
        return short if self.is_quick else whole


def parse(about: str | None) -> Options:
    """Read the command line of a script."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the short form: see that it runs")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="how often ours and the reference take turns"
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return Options(is_quick=arguments.quick, rounds=arguments.rounds)
