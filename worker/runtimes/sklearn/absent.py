"""Spares scikit-learn the search for pandas.

It tries to import pandas in most of its checks of an array. If pandas is not installed, Python searches every
folder of its path each time: a tenth of the time of a small model.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_PANDAS: Final = "pandas"
_IS_INSTALLED: Final = importlib.util.find_spec(_PANDAS) is not None


class _Absent:
    """An import finder that knows that pandas cannot be found."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
        """Raise ModuleNotFoundError for pandas, as `import` would."""
        if name == _PANDAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def without_pandas(*, is_installed: bool = _IS_INSTALLED) -> Iterator[None]:
    """Do not search for pandas during the body, unless it is installed."""
    if is_installed:
        yield
        return
    sys.meta_path.insert(0, _Absent)
    try:
        yield
    finally:
        sys.meta_path.remove(_Absent)
