"""Options of a drill, from environment variables as set by `make chaos`."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self


def _random_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


@dataclass(frozen=True)
class Options:
    """Duration, load, size and random seed of a drill."""

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
        """Read SEED, MINUTES, WORKERS and RATE; unset or empty variables have their defaults."""
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

    def rng(self, purpose: str) -> random.Random:
        """Return an independent random generator for one part of the drill."""
        return random.Random(f"{self.seed}:{purpose}")
