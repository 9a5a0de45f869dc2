"""The search space: the combinations of hyperparameters to try."""

import math
import random
import sys
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.http.body import CleanJson, CleanStr, StrictBody, at_most

MAX_TRIALS: Final = 200
MAX_PARAMS: Final = 20
MAX_CHOICES: Final = 100

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


class Search(StrictBody):
    """Train once for each of many combinations of hyperparameters, and rank the results."""

    params: Annotated[dict[CleanStr, Choices | Range], Field(min_length=1), at_most(MAX_PARAMS)] = Field(
        description="The values to try for each hyperparameter, or a range to draw from.",
    )
    trials: int | None = Field(
        None,
        ge=1,
        le=MAX_TRIALS,
        description="How many combinations to try, drawn at random with `seed`. Default: all, which requires "
        "lists of values.",
    )
    metric: str | None = Field(
        None,
        description=f"Metric to optimise: {', '.join(METRICS)}. Default: accuracy, or r2.",
    )

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(f"metric is one of {', '.join(METRICS)}")
        if self.trials is not None:
            return self
        if any(isinstance(values, Range) for values in self.params.values()):
            raise ValueError("trials is required if the values of a hyperparameter are a range")
        if self._combinations > MAX_TRIALS:
            raise ValueError(
                f"there are {self._combinations} combinations, more than {MAX_TRIALS}; set trials"
            )
        return self

    @property
    def count(self) -> int:
        """The maximum number of trials."""
        return self._combinations if self.trials is None else self.trials

    @property
    def _combinations(self) -> int:
        return math.prod(len(values) for values in self.params.values() if isinstance(values, list))

    def combinations(self, seed: int) -> list[dict[str, Any]]:
        """Return the combinations to try, each once. The same seed returns the same ones."""
        lists = [values for values in self.params.values() if isinstance(values, list)]
        if len(lists) == len(self.params):
            size = self._combinations
            if self.trials is None or self.trials >= size:
                return [self._combination(number) for number in range(size)]
            # Draws the numbers of combinations: all combinations may not fit into memory.
            numbers = _sample(random.Random(seed), size, self.trials)  # noqa: S311  # a search, not a secret
            return [self._combination(number) for number in numbers]
        return self._draw_all(random.Random(seed))  # noqa: S311

    def _combination(self, number: int) -> dict[str, Any]:
        """Return the combination with this number, in the order of `itertools.product`."""
        chosen: dict[str, Any] = {}
        for name, values in reversed(self.params.items()):
            if isinstance(values, list):
                number, index = divmod(number, len(values))
                chosen[name] = values[index]
        return {name: chosen[name] for name in self.params}

    def _draw_all(self, rng: random.Random) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted = self.trials or 0
        # A short range of integers may have fewer combinations than trials.
        for _ in range(20 * wanted):
            if len(found) == wanted:
                break
            drawn = {
                name: values.draw(rng) if isinstance(values, Range) else rng.choice(values)
                for name, values in self.params.items()
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
