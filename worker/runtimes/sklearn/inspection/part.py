"""An object constructed from a file, with methods that validate its attributes."""

from collections.abc import Collection
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
from scipy import sparse

from worker.runtimes.runtime import BrokenModel

MAX_COUNT: Final = 2**31 - 1
FLOATS: Final = (np.dtype(np.float64), np.dtype(np.float32))
SEVERAL_OUTPUTS: Final = (
    "its classes are unknown, or it predicts several outputs at once; fit and upload one model for each"
    " output"
)

Shape = tuple[int | None, ...]


class Part:
    """An object under inspection. Each validating method raises BrokenModel if an attribute is invalid.

    Attributes are plain values, plain arrays or objects that have passed their own check, because the loader
    constructs nothing else. So it suffices to compare the exact type of a value.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.name = type(value).__name__
        self._attributes: dict[str, Any] = value.__dict__

    def has(self, name: str) -> bool:
        """Return whether the attribute exists and is not None."""
        return self._attributes.get(name) is not None

    def get(self, name: str) -> Any:
        """Return the attribute without validation; None if it does not exist."""
        return self._attributes.get(name)

    def fail(self, name: str, must: str) -> NoReturn:
        """Raise BrokenModel with the message "<name> of its <class> must be <must>"."""
        raise BrokenModel(f"{name} of its {self.name} must be {must}")

    def ensure(self, condition: Any, name: str, must: str) -> None:
        """Raise BrokenModel unless the condition holds."""
        if condition is not True and condition is not np.True_:
            self.fail(name, must)

    def count(self, name: str, least: int = 1, most: int = MAX_COUNT) -> int:
        """Return a plain integer in this range. Replaces a NumPy integer by a plain one."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.integer):
            value = self._attributes[name] = int(value)
        if type(value) is not int or not least <= value <= most:
            self.fail(name, f"an integer from {least} to {most}")
        return int(value)

    def number(self, name: str) -> float:
        """Return a finite number. Replaces a NumPy number by a plain one."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.floating | np.integer):
            value = self._attributes[name] = value.item()
        if type(value) not in (int, float) or not np.isfinite(float(value)):
            self.fail(name, "a finite number")
        return float(value)

    def flag(self, name: str) -> bool:
        """Return a bool. Replaces a NumPy bool by a plain one."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.bool_):
            value = self._attributes[name] = bool(value)
        if type(value) is not bool:
            self.fail(name, "true or false")
        return bool(value)

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Return a text, which must be one of the choices."""
        value: Any = self._attributes.get(name)
        if type(value) is not str or value not in choices:
            self.fail(name, f"one of {', '.join(sorted(choices))}")
        return str(value)

    def array(
        self, name: str, shape: Shape, kinds: str = "f", *, dtype: Any = None, contiguous: bool = False
    ) -> npt.NDArray[Any]:
        """Return an array of this shape, where None stands for any length, and of these kinds of dtype."""
        return self.as_array(
            self._attributes.get(name), name, shape, kinds, dtype=dtype, contiguous=contiguous
        )

    def as_array(
        self,
        value: Any,
        name: str,
        shape: Shape,
        kinds: str = "f",
        *,
        dtype: Any = None,
        contiguous: bool = False,
    ) -> npt.NDArray[Any]:
        """Check a value like `array` does, and return it. `name` is for the message."""
        if type(value) is not np.ndarray:
            self.fail(name, "an array")
        fits = len(shape) == value.ndim and all(
            want is None or want == length for want, length in zip(shape, value.shape, strict=True)
        )
        if not fits:
            wanted = " × ".join("any" if length is None else str(length) for length in shape)
            self.fail(name, f"an array of shape {wanted}, not {' × '.join(map(str, value.shape))}")
        if value.dtype.kind not in kinds or (dtype is not None and value.dtype != dtype):
            self.fail(name, f"an array of another dtype than {value.dtype}")
        if contiguous and not (value.flags.c_contiguous and value.flags.aligned):
            self.fail(name, "an array in C order")
        return np.asarray(value)

    def matrix(self, name: str, shape: Shape) -> None:
        """Check a dense array or a sparse matrix of floats."""
        value: Any = self._attributes.get(name)
        if not sparse.issparse(value):
            self.array(name, shape)
        elif value.dtype.kind != "f" or any(
            want not in (None, length) for want, length in zip(shape, value.shape, strict=True)
        ):
            self.fail(name, f"a matrix of floats of shape {shape}")

    def sequence(self, name: str, length: int | None = None, types: Any = (list, tuple)) -> list[Any]:
        """Return the values of a list or tuple."""
        value: Any = self._attributes.get(name)
        if type(value) not in types or (length is not None and len(value) != length):
            self.fail(name, "a list" if length is None else f"a list of {length}")
        return list(value)

    def objects(self, name: str, types: Collection[type], length: int | None = None) -> list["Part"]:
        """Return the objects in a list or tuple, each of exactly one of these types."""
        return [self.as_object(value, name, types) for value in self.sequence(name, length)]

    def object(self, name: str, types: Collection[type]) -> "Part":
        """Return an object of exactly one of these types."""
        return self.as_object(self._attributes.get(name), name, types)

    def as_object(self, value: Any, name: str, types: Collection[type]) -> "Part":
        """Check a value like `object` does, and return it. `name` is for the message."""
        if type(value) not in types:
            self.fail(name, f"of one of the types {', '.join(sorted(kind.__name__ for kind in types))}")
        return Part(value)

    def classes(self, name: str = "classes_") -> int:
        """Return the number of classes in an array of labels."""
        value: Any = self._attributes.get(name)
        if type(value) is list:
            raise BrokenModel(SEVERAL_OUTPUTS)
        labels = self.as_array(value, name, (None,), "biufUSO")
        if not 1 <= len(labels) <= MAX_COUNT:
            self.fail(name, "at least one class")
        if labels.dtype == object:
            self.plain_values(labels.tolist(), name)
        return len(labels)

    def plain_values(self, values: list[Any], name: str) -> None:
        """Check that all values are texts, numbers, bools or None."""
        for value in values:
            if value is not None and type(value) not in (str, int, float, bool):
                self.fail(name, "made of texts and numbers")

    def columns(self) -> int:
        """Return the number of columns that it takes, and check the column names."""
        count = self.count("n_features_in_")
        self.feature_names()
        return count

    def feature_names(self) -> None:
        """Check that column names, if there are any, are texts, one for each column."""
        if "feature_names_in_" not in self._attributes:
            return
        names = self.array("feature_names_in_", (None,), "OU")
        self.ensure(all(type(name) is str for name in names.tolist()), "feature_names_in_", "texts")
        if self.has("n_features_in_"):
            self.ensure(
                len(names) == self.count("n_features_in_"), "feature_names_in_", "one for each column"
            )
