"""Which files are mutated, and which mutants of each are drawn."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import skops.io

from tests.fuzz import onnx_corpus, onnx_mutants, skops_mutants
from tests.fuzz.arena import Mutant
from tests.worker.runtimes.sklearn.inspection import corpus

COMBINED_SHARE: Final = 0.25
ROWS: Final = 4


@dataclass(frozen=True)
class Target:
    """One good file."""

    kind: str
    name: str
    load: Callable[[], tuple[bytes, list[Any]]]
    singles: Callable[[bytes], Iterator[Mutant]]
    combined: Callable[[bytes, random.Random], Mutant]

    @property
    def label(self) -> str:
        """Its name in the table."""
        return f"{'skops' if self.kind == 'sklearn' else self.kind}: {self.name}"

    @property
    def rows(self) -> list[Any]:
        """Rows that the model takes."""
        return self.load()[1][:ROWS]

    def mutants(self, seed: int, count: int) -> Iterator[Mutant]:
        """So many mutants, the file itself first; the same ones for the same seed."""
        content, _ = self.load()
        yield "as it is", lambda: content
        chance = random.Random(f"{seed} {self.name}")
        of_one = list(self.singles(content))
        alone = round(count * (1 - COMBINED_SHARE))
        yield from of_one if len(of_one) <= alone else chance.sample(of_one, alone)
        for _ in range(count - min(alone, len(of_one))):
            yield self.combined(content, chance)


def targets() -> Iterator[Target]:
    """Every good file, one of each kind of model."""
    for name in corpus.NAMES:
        yield Target("sklearn", name, partial(_skops, name), skops_mutants.singles, skops_mutants.combined)
    for name in onnx_corpus.NAMES:
        load = partial(onnx_corpus.model, name)
        yield Target("onnx", name, load, onnx_mutants.singles, onnx_mutants.combined)


def _skops(name: str) -> tuple[bytes, list[Any]]:
    model, rows = corpus.fitted(name)
    return skops.io.dumps(model), rows
