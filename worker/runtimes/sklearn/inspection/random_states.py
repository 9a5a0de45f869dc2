"""Rebuild random generators after validation. NumPy would read beyond the state at an invalid position."""

from typing import Any, Final

import numpy as np

from worker.runtimes.runtime import BrokenModel

MT19937_WORDS: Final = 624
_BAD: Final = "a random generator in it has an invalid state"


def legacy(state: Any) -> np.random.RandomState:
    """Build a RandomState. Raises BrokenModel."""
    inner = state.get("state") if type(state) is dict else None
    key = inner.get("key") if type(inner) is dict else None
    if (
        type(inner) is not dict
        or state.get("bit_generator") != "MT19937"
        or type(key) is not np.ndarray
        or key.dtype != np.uint32
        or key.shape != (MT19937_WORDS,)
        or not _is_int(inner.get("pos"), MT19937_WORDS)
        or not _is_int(state.get("has_gauss"), 1)
        or not isinstance(state.get("gauss"), float | int)
    ):
        raise BrokenModel(_BAD)
    random_state = np.random.RandomState()
    random_state.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": int(inner["pos"])},
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        }
    )
    return random_state


def generator(state: Any) -> np.random.Generator:
    """Build a Generator over PCG64, as returned by `default_rng`. Raises BrokenModel."""
    inner = state.get("state") if type(state) is dict else None
    if (
        type(inner) is not dict
        or state.get("bit_generator") != "PCG64"
        or not _is_int(inner.get("state"), 2**128 - 1)
        or not _is_int(inner.get("inc"), 2**128 - 1)
        or not _is_int(state.get("has_uint32"), 1)
        or not _is_int(state.get("uinteger"), 2**32 - 1)
    ):
        raise BrokenModel(_BAD)
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": inner["state"], "inc": inner["inc"]},
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }
    return np.random.Generator(bits)


def _is_int(value: Any, maximum: int) -> bool:
    return type(value) is int and 0 <= value <= maximum
