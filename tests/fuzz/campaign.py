"""Selects the model files to mutate and the mutants of each."""

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
    """A valid model file, with functions that mutate it."""

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
        """Valid input rows of the model."""
        return self.load()[1][:ROWS]

    def mutants(self, seed: int, count: int) -> Iterator[Mutant]:
        """Yield the unchanged file and `count` mutants, the same ones for the same seed."""
        content, _ = self.load()
        yield "unchanged", lambda: content
        rng = random.Random(f"{seed} {self.name}")
        singles = list(self.singles(content))
        single_count = round(count * (1 - COMBINED_SHARE))
        yield from singles if len(singles) <= single_count else rng.sample(singles, single_count)
        for _ in range(count - min(single_count, len(singles))):
            yield self.combined(content, rng)


def targets() -> Iterator[Target]:
    """Yield one valid file of each kind of model."""
    for name in corpus.NAMES:
        yield Target("sklearn", name, partial(_skops, name), skops_mutants.singles, skops_mutants.combined)
    for name in onnx_corpus.NAMES:
        load = partial(onnx_corpus.model, name)
        yield Target("onnx", name, load, onnx_mutants.singles, onnx_mutants.combined)


def _skops(name: str) -> tuple[bytes, list[Any]]:
    model, rows = corpus.fitted(name)
    return skops.io.dumps(model), rows
