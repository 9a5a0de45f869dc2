"""Successive halving: the rounds of a search that keeps the best third of its candidates in each."""

from typing import Final

KEPT: Final = 3
"""Each round keeps one candidate of this many, and takes this many times the rows."""

FINALISTS: Final = 4
"""Up to this many candidates compete in one round."""


def contestants_of_rounds(candidates: int) -> tuple[int, ...]:
    """Return how many candidates compete in each round: 27, 9 and 3 of 27."""
    rounds = [candidates]
    while rounds[-1] > FINALISTS:
        rounds.append(-(-rounds[-1] // KEPT))
    return tuple(rounds)
