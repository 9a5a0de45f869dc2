"""The search space: the combinations of hyperparameters to try."""

import math
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.http.body import CleanJson, CleanStr, StrictBody, at_most

MAX_TRIALS: Final = 200
MAX_PARAMS: Final = 20
MAX_CHOICES: Final = 100
MAX_ALGORITHMS: Final = 20

BEST_ALIAS: Final = "best"
"""The alias of the best version of a search: `name@best`."""

LOWER_IS_BETTER: Final = frozenset({"log_loss", "rmse", "mae"})
METRICS: Final = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_weighted",
    "log_loss",
    "roc_auc",
    "r2",
    "rmse",
    "mae",
)


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"metric is one of {', '.join(METRICS)}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


def _in_64_bits(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("integer_size", "Integers must fit into 64 bits")
    return value


Bound = Annotated[int | float, BeforeValidator(_in_64_bits)]


class Range(StrictBody):
    """Values between two numbers; integers if both are. `log` draws uniformly on a logarithmic scale."""

    min: Bound
    max: Bound
    log: bool = False

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min >= self.max:
            raise ValueError("min must be less than max")
        if self.log and self.min <= 0:
            raise ValueError("on a logarithmic scale min must be greater than 0")
        if not math.isfinite(self.max - self.min):
            raise ValueError("min and max are too far apart")
        return self

    def draw(self, rng: random.Random) -> int | float:
        """Draw a value."""
        is_whole = isinstance(self.min, int) and isinstance(self.max, int)
        if self.log:
            number = math.exp(rng.uniform(math.log(self.min), math.log(self.max)))
            # Rounding may take the exponential of a logarithm out of the range.
            number = min(max(number, self.min), self.max)
            return round(number) if is_whole else float(number)
        return rng.randint(int(self.min), int(self.max)) if is_whole else rng.uniform(self.min, self.max)


Choices = Annotated[list[CleanJson], Field(min_length=1, fail_fast=True), at_most(MAX_CHOICES)]
Space = Annotated[dict[CleanStr, Choices | Range], at_most(MAX_PARAMS)]
"""The values to try for each hyperparameter."""


@dataclass(frozen=True)
class Trial:
    """What one trial of a search trains with. Without an algorithm it is that of the request."""

    algorithm: str | None
    params: dict[str, Any]


class Search(StrictBody):
    """Train once for each of many combinations of hyperparameters, and rank the results."""

    params: Annotated[Space, Field(min_length=1)] = Field(
        default_factory=dict,
        description="The values to try for each hyperparameter of `algorithm`, or a range to draw from.",
    )
    algorithms: Annotated[dict[CleanStr, Space], Field(min_length=1), at_most(MAX_ALGORITHMS)] | None = Field(
        None,
        description="Instead of `params`: the algorithms to try, each with the values of its hyperparameters;"
        " `{}` for its defaults.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda algorithms: algorithms is None,
    )
    trials: int | None = Field(
        None,
        ge=1,
        le=MAX_TRIALS,
        description="How many combinations to try, drawn at random with `seed`; each algorithm gets an equal"
        " part. Default: all, which requires lists of values.",
    )
    halving: bool = Field(
        False,
        description="Prune early (successive halving): one job compares all combinations on few rows, keeps"
        " the best third for three times the rows, and so on, and trains the best one. Its result has the"
        " leaderboard.",
        exclude_if=lambda halving: not halving,
    )
    metric: MetricName | None = Field(
        None,
        description=f"Metric to optimise: {', '.join(METRICS)}. Default: accuracy, or r2.",
    )

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if bool(self.params) == (self.algorithms is not None):
            raise ValueError("give either params or algorithms")
        if self.algorithms is not None and self.trials is not None and self.trials < len(self.algorithms):
            raise ValueError("each algorithm needs a trial; set trials to their number or more")
        if self.trials is not None:
            return self
        if any(isinstance(values, Range) for space in self._spaces.values() for values in space.values()):
            raise ValueError("trials is required if the values of a hyperparameter are a range")
        if self.count > MAX_TRIALS:
            raise ValueError(f"there are {self.count} combinations, more than {MAX_TRIALS}; set trials")
        return self

    @property
    def count(self) -> int:
        """The maximum number of trials."""
        return sum(map(_size, self._spaces.values())) if self.trials is None else self.trials

    def all_trials(self, seed: int) -> list[Trial]:
        """Return the trials, algorithm by algorithm. The same seed returns the same ones."""
        spaces = self._spaces
        parts: list[int | None] = [None] * len(spaces)
        if self.trials is not None:
            least, more = divmod(self.trials, len(spaces))
            parts = [least + (index < more) for index in range(len(spaces))]
        return [
            Trial(name, params)
            for part, (name, space) in zip(parts, spaces.items(), strict=True)
            for params in combinations(space, part, seed)
        ]

    @property
    def _spaces(self) -> Mapping[str | None, Mapping[str, list[Any] | Range]]:
        if self.algorithms is None:
            return {None: self.params}
        spaces: dict[str | None, Mapping[str, list[Any] | Range]] = {}
        spaces.update(self.algorithms)
        return spaces


def combinations(
    space: Mapping[str, list[Any] | Range], trials: int | None, seed: int
) -> list[dict[str, Any]]:
    """Return the combinations to try, each once: all, or as many as there are trials. The seed draws them."""
    lists = {name: values for name, values in space.items() if isinstance(values, list)}
    if len(lists) == len(space):
        size = _size(space)
        if trials is None or trials >= size:
            return [_combination(lists, number) for number in range(size)]
        # Draws the numbers of combinations: all combinations may not fit into memory.
        numbers = _sample(random.Random(seed), size, trials)  # noqa: S311  # a search, not a secret
        return [_combination(lists, number) for number in numbers]
    return _draw_all(space, trials or 0, random.Random(seed))  # noqa: S311


def _size(space: Mapping[str, list[Any] | Range]) -> int:
    return math.prod(len(values) for values in space.values() if isinstance(values, list))


def _combination(lists: Mapping[str, list[Any]], number: int) -> dict[str, Any]:
    """Return the combination with this number, in the order of `itertools.product`."""
    chosen: dict[str, Any] = {}
    for name, values in reversed(list(lists.items())):
        number, index = divmod(number, len(values))
        chosen[name] = values[index]
    return {name: chosen[name] for name in lists}


def _draw_all(
    space: Mapping[str, list[Any] | Range], wanted: int, rng: random.Random
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    # A short range of integers may have fewer combinations than trials.
    for _ in range(20 * wanted):
        if len(found) == wanted:
            break
        drawn = {
            name: values.draw(rng) if isinstance(values, Range) else rng.choice(values)
            for name, values in space.items()
        }
        if drawn not in found:
            found.append(drawn)
    return found


def _sample(rng: random.Random, size: int, count: int) -> list[int]:
    """Return `count` distinct numbers below `size`, however large it is."""
    if size <= sys.maxsize:
        return rng.sample(range(size), count)
    found: dict[int, None] = {}
    while len(found) < count:
        found[rng.randrange(size)] = None
    return list(found)
