"""What a drill is told: from the environment, as `make chaos` passes it."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self


def _random_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


@dataclass(frozen=True)
class Options:
    """How long, how much, and by which dice."""

    seed: int = field(default_factory=_random_seed)
    minutes: float = 1.0
    workers: int = 3
    apis: int = 2
    slots: int = 2
    jobs_per_second: float = 5.0
    max_unfinished: int = 30
    drain_limit_seconds: float = 120.0

    @classmethod
    def from_environment(cls) -> Self:
        """SEED, MINUTES, WORKERS and RATE; whatever is not set, or empty, has its default."""
        names = {"SEED": "seed", "MINUTES": "minutes", "WORKERS": "workers", "RATE": "jobs_per_second"}
        kinds: dict[str, Callable[[str], Any]] = {
            "seed": int,
            "workers": int,
            "minutes": float,
            "jobs_per_second": float,
        }
        given = {
            option: kinds[option](os.environ[variable])
            for variable, option in names.items()
            if os.environ.get(variable)
        }
        return cls(**given)

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def dice(self, what: str) -> random.Random:
        """Chance of its own for each part of the drill, so that one does not disturb the other."""
        return random.Random(f"{self.seed}:{what}")
