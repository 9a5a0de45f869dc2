"""Random choices that depend on the seed and the position of a row only: every attempt repeats them."""

from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def random_keys(seed: int, first: int, count: int) -> Keys:
    """Return the keys of rows `first` to `first + count - 1`: all different, in random order.

    They are the numbers of SplitMix64 (Steele, Lea, Flood, 2014), which is a bijection of 64-bit numbers.
    """
    start = np.frombuffer(blake2b(seed.to_bytes(8, "big"), digest_size=8).digest(), "<u8")[0]
    keys = np.arange(first + 1, first + count + 1, dtype=np.uint64) * _INCREMENT + start
    keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
    keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
    mixed: Keys = keys ^ (keys >> np.uint64(31))
    return mixed


def ranks(fractions: list[float], count: int) -> list[int]:
    """Return how many of `count` rows lie in all parts up to each one but the last."""
    return [round(total * count) for total in np.cumsum(fractions)[:-1].tolist()]
