"""Split rows into those that train, those that choose, and those that only measure.

The split follows from the rows, the request and the seed, not from the versions of libraries. Rows are
indices into the values of the target.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.jobs.params import SplitMethod
from worker.context import BadInput

Rows = npt.NDArray[np.intp]
Labels = npt.NDArray[Any]

MIN_ROWS: Final = 4
FEW_ROWS: Final = 6
"""From here on, at least two rows are held out: R² is undefined for one."""

SPLIT_STREAM: Final = 0
"""The random stream of the split. Epochs use the streams from 1."""


class Purpose(IntEnum):
    """What rows are drawn for. Each purpose has random numbers of its own."""

    TEST = 0
    VALIDATION = 1
    FOLDS = 2
    ORDER = 3
    IMPORTANCE = 4


@dataclass(frozen=True)
class Fold:
    """Rows by what they are for.

    The model is fitted on `train`, which is shuffled. `validation` chooses: the epoch, the candidate, the
    threshold. `test` chooses nothing, so the metrics are measured there.
    """

    train: Rows
    validation: Rows
    test: Rows

    @property
    def development(self) -> Rows:
        """All rows but those of the test: the training rows first, in their order."""
        return np.concatenate((self.train, self.validation))


@dataclass(frozen=True)
class Split:
    """The split of a training.

    `main` is that of the registered model. With cross-validation its test rows are empty, and the metrics
    are those of the predictions of each of the `folds` for its own test rows.
    """

    method: SplitMethod
    main: Fold
    folds: tuple[Fold, ...] = ()

    @property
    def test(self) -> Rows:
        """The rows that the metrics are measured on."""
        return np.concatenate([fold.test for fold in self.folds]) if self.folds else self.main.test


@dataclass(frozen=True)
class Splitter:
    """Divides rows by one method.

    `labels` are the classes of all rows, None for a regression. `keys` are numbers that are equal for rows
    which must stay together: of the same group, or of the same time. For times they are in their order.
    """

    method: SplitMethod
    seed: int
    labels: Labels | None = None
    keys: npt.NDArray[np.int64] | None = None

    def split(self, rows: Rows, *, validation_fraction: float, test_fraction: float, folds: int = 0) -> Split:
        """Split the rows. Both fractions are of all rows; with `folds`, each row is tested once.

        A test fraction of 0 means that the test rows come from elsewhere.

        Raises BadInput if there are too few rows for it, or a class is missing in the training rows.
        """
        _ensure_enough(rows)
        nothing: Rows = np.array([], dtype=np.intp)
        if not folds and not test_fraction:
            return Split(self.method, self._fold(rows, nothing, validation_fraction))
        if not folds:
            rest, test = self.divide(rows, test_fraction, Purpose.TEST)
            return Split(self.method, self._fold(rest, test, validation_fraction / (1 - test_fraction)))
        tested = self.cross_validation(rows, folds)
        return Split(
            self.method,
            self._fold(rows, nothing, validation_fraction),
            tuple(self._fold(rest, test, validation_fraction) for rest, test in tested),
        )

    def without_fold(self, rows: Rows, fold: int, of: int, *, validation_fraction: float) -> Split:
        """Hold out one of `of` folds, numbered from 1: the rows that this fold tests in `split`.

        Raises BadInput as `split` does.
        """
        _ensure_enough(rows)
        rest, test = list(self.cross_validation(rows, of))[fold - 1]
        return Split(self.method, self._fold(rest, test, validation_fraction))

    def divide(self, rows: Rows, fraction: float, purpose: Purpose) -> tuple[Rows, Rows]:
        """Return the rows that remain, shuffled, and those that are held out, in the order of the data.

        Raises BadInput.
        """
        random = self._random(purpose)
        if self.method is SplitMethod.STRATIFIED:
            held_out = self._divide_classes(rows, fraction, random)
        else:
            ordered, ends = self._units(rows, random)
            least = 2 if len(rows) >= FEW_ROWS else 1
            wanted = max(round(len(rows) * fraction), least)
            if not ends:
                raise self._indivisible()
            held_out = ordered[: min(ends, key=lambda end: abs(end - wanted))]
        return self._rest(rows, held_out), np.sort(held_out)

    def cross_validation(self, rows: Rows, count: int) -> Iterator[tuple[Rows, Rows]]:
        """Yield, for each of `count` folds, the remaining rows, shuffled, and those that are held out.

        By time, the remaining rows of each fold are earlier than the held-out ones. Raises BadInput.
        """
        random = self._random(Purpose.FOLDS)
        if self.method is SplitMethod.TIME:
            yield from self._forward(rows, count)
            return
        parts = self._parts(rows, count, random)
        if not all(map(len, parts)):
            raise BadInput(f"the rows are too few for {count} folds; choose fewer folds")
        for held_out in parts:
            yield self._rest(rows, held_out), np.sort(held_out)

    def _fold(self, rows: Rows, test: Rows, fraction: float) -> Fold:
        if self.method is SplitMethod.STRATIFIED and len(rows) == len(self._classes(rows)):
            # Each class needs its last row for training: the rows of the test are all that can be held out.
            half = len(test) // 2
            return Fold(rows, test[:half] if half else test, test[half:])
        train, validation = self.divide(rows, fraction, Purpose.VALIDATION)
        self._ensure_classes(train, np.concatenate((validation, test)))
        return Fold(train, validation, test)

    def _divide_classes(self, rows: Rows, fraction: float, random: np.random.Generator) -> Rows:
        """Hold out each class in proportion. Every class keeps at least one row."""
        held_out: list[Rows] = []
        classes = [random.permutation(of_class) for of_class in self._classes(rows)]
        owed = 0.0  # carries fractions of rows over to the next class
        for of_class in classes:
            owed += len(of_class) * fraction
            taken = min(round(owed), len(of_class) - 1)
            owed -= taken
            held_out.append(of_class[:taken])
        if not any(map(len, held_out)):  # a small fraction of few rows
            held_out.append(max(classes, key=len)[:1])
        return np.concatenate(held_out)

    def _parts(self, rows: Rows, count: int, random: np.random.Generator) -> list[Rows]:
        """Deal rows out to parts: each class in proportion, or whole groups to the part with fewest rows."""
        if self.method is SplitMethod.STRATIFIED:
            # A class of one row always remains, because no model could learn it otherwise.
            dealt = np.concatenate([random.permutation(of) for of in self._classes(rows) if len(of) > 1])
            return [dealt[start::count] for start in range(count)]
        ordered, ends = self._units(rows, random)
        units = sorted(np.split(ordered, ends), key=len, reverse=True)
        parts: list[list[Rows]] = [[] for _ in range(count)]
        sizes = [0] * count
        for unit in units:
            smallest = sizes.index(min(sizes))
            parts[smallest].append(unit)
            sizes[smallest] += len(unit)
        return [np.concatenate(part) if part else np.array([], dtype=np.intp) for part in parts]

    def _forward(self, rows: Rows, count: int) -> Iterator[tuple[Rows, Rows]]:
        """Cut the rows at `count` times: the rows before a cut remain, those up to the next are held out."""
        latest_first, ends = self._units(rows, self._random(Purpose.FOLDS))
        total = len(latest_first)
        cuts = sorted(
            {
                total - min(ends, key=lambda end: abs(end - total * part / (count + 1)))
                for part in range(1, count + 1)
                if ends
            }
        )
        if len(cuts) < count:
            raise BadInput(
                f"the column of the split has too few different times for {count} folds; choose fewer folds"
            )
        earliest_first = latest_first[::-1]
        for start, end in zip(cuts, [*cuts[1:], total], strict=True):
            held_out = earliest_first[start:end]
            yield self._shuffle(np.sort(earliest_first[:start])), np.sort(held_out)

    def _classes(self, rows: Rows) -> list[Rows]:
        """Return the rows of each class."""
        assert self.labels is not None  # noqa: S101  # a regression is not stratified
        labels = self.labels[rows]
        return [rows[labels == label] for label in np.unique(labels)]

    def _units(self, rows: Rows, random: np.random.Generator) -> tuple[Rows, Sequence[int]]:
        """Return the rows in the order of being held out, and where the order may be cut."""
        if self.keys is None:
            return random.permutation(np.sort(rows)), range(1, len(rows))
        by_row = np.sort(rows)
        keys, codes = np.unique(self.keys[by_row], return_inverse=True)
        if self.method is SplitMethod.GROUP:
            ranks = random.permutation(len(keys))[codes]
        else:
            ranks = len(keys) - 1 - codes
        order = np.argsort(ranks, kind="stable")
        ends = np.flatnonzero(np.diff(ranks[order])) + 1
        return by_row[order], ends.tolist()

    def _rest(self, rows: Rows, held_out: Rows) -> Rows:
        return self._shuffle(np.setdiff1d(rows, held_out))

    def _shuffle(self, rows: Rows) -> Rows:
        """Shuffle rows, because tables are often sorted by the target."""
        return self._random(Purpose.ORDER).permutation(rows)

    def _random(self, purpose: Purpose) -> np.random.Generator:
        return np.random.default_rng((self.seed, SPLIT_STREAM, purpose))

    def _indivisible(self) -> BadInput:
        what = "times" if self.method is SplitMethod.TIME else "groups"
        return BadInput(
            f"the column of the split has too few different {what} to hold some rows out for validation and"
            " for the test; split by another column or at random"
        )

    def _ensure_classes(self, train: Rows, held_out: Rows) -> None:
        """Raise BadInput for a class of the held-out rows that no training row has."""
        if self.labels is None:
            return
        known = np.unique(self.labels[train])
        unknown = np.setdiff1d(self.labels[held_out], known)
        if len(unknown):
            raise BadInput(
                f"no training row has the class {str(unknown[0])!r}, because all of its rows are held out;"
                " leave these rows out, or choose another split"
            )
        if len(known) < 2:
            raise BadInput(f"all training rows have the class {str(known[0])!r}; choose another split")


def _ensure_enough(rows: Rows) -> None:
    if len(rows) < MIN_ROWS:
        raise BadInput(f"only {len(rows)} rows have a target; a training needs at least {MIN_ROWS}")
