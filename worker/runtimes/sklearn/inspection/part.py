"""One object that was constructed from a file, and the questions that a check asks of its attributes."""

from collections.abc import Collection, Iterator
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
from scipy import sparse

from worker.runtimes.runtime import BrokenModel

MAX_COUNT: Final = 2**31 - 1
FLOATS: Final = (np.dtype(np.float64), np.dtype(np.float32))
SEVERAL_OUTPUTS: Final = (
    "it does not say which classes it tells apart, or predicts several things at once; fit one model for each"
    " output, and upload each"
)

Shape = tuple[int | None, ...]


class Part:
    """An object under inspection. Every question raises BrokenModel if the answer is not what it must be.

    The loader constructs plain values, plain arrays and objects that passed their own check, so the exact
    type of a value says all about it.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.name = type(value).__name__
        self._attributes: dict[str, Any] = value.__dict__

    def has(self, name: str) -> bool:
        """Whether there is a value other than None."""
        return self._attributes.get(name) is not None

    def get(self, name: str) -> Any:
        """The value as it is; None if there is none."""
        return self._attributes.get(name)

    def fail(self, name: str, must: str) -> NoReturn:
        """Raise BrokenModel."""
        raise BrokenModel(f"{name} of its {self.name} must be {must}")

    def ensure(self, is_so: Any, name: str, must: str) -> None:
        """Raise BrokenModel unless it is so."""
        if is_so is not True and is_so is not np.True_:
            self.fail(name, must)

    def count(self, name: str, least: int = 1, most: int = MAX_COUNT) -> int:
        """A plain integer. One of NumPy's is replaced by a plain one."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.integer):
            value = self._attributes[name] = int(value)
        if type(value) is not int or not least <= value <= most:
            self.fail(name, f"an integer from {least} to {most}")
        return int(value)

    def number(self, name: str) -> float:
        """A finite number. One of NumPy's is replaced by a plain one."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.floating | np.integer):
            value = self._attributes[name] = value.item()
        if type(value) not in (int, float) or not np.isfinite(float(value)):
            self.fail(name, "a finite number")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or False."""
        value: Any = self._attributes.get(name)
        if isinstance(value, np.bool_):
            value = self._attributes[name] = bool(value)
        if type(value) is not bool:
            self.fail(name, "true or false")
        return bool(value)

    def choice(self, name: str, choices: Collection[str]) -> str:
        """One of these texts."""
        value: Any = self._attributes.get(name)
        if type(value) is not str or value not in choices:
            self.fail(name, f"one of {', '.join(sorted(choices))}")
        return str(value)

    def array(
        self, name: str, shape: Shape, kinds: str = "f", *, dtype: Any = None, contiguous: bool = False
    ) -> npt.NDArray[Any]:
        """A plain array of this shape; None stands for any length."""
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
        """The value as a plain array of this shape."""
        if type(value) is not np.ndarray:
            self.fail(name, "an array")
        fits = len(shape) == value.ndim and all(
            want is None or want == length for want, length in zip(shape, value.shape, strict=True)
        )
        if not fits:
            wanted = " × ".join("any" if length is None else str(length) for length in shape)
            self.fail(name, f"an array of shape {wanted}, not {' × '.join(map(str, value.shape))}")
        if value.dtype.kind not in kinds or (dtype is not None and value.dtype != dtype):
            self.fail(name, f"an array of another type than {value.dtype}")
        if contiguous and not (value.flags.c_contiguous and value.flags.aligned):
            self.fail(name, "an array in C order")
        return np.asarray(value)

    def matrix(self, name: str, shape: Shape) -> None:
        """A dense array of floats, or a sparse matrix."""
        value: Any = self._attributes.get(name)
        if not sparse.issparse(value):
            self.array(name, shape)
        elif value.dtype.kind != "f" or any(
            want not in (None, length) for want, length in zip(shape, value.shape, strict=True)
        ):
            self.fail(name, f"a matrix of floats of shape {shape}")

    def sequence(self, name: str, length: int | None = None, types: Any = (list, tuple)) -> list[Any]:
        """The values of a list or tuple."""
        value: Any = self._attributes.get(name)
        if type(value) not in types or (length is not None and len(value) != length):
            self.fail(name, "a list" if length is None else f"a list of {length}")
        return list(value)

    def objects(self, name: str, types: Collection[type], length: int | None = None) -> list["Part"]:
        """The objects in a list or tuple, each of one of these types exactly."""
        return [self.as_object(value, name, types) for value in self.sequence(name, length)]

    def object(self, name: str, types: Collection[type]) -> "Part":
        """An object of one of these types exactly."""
        return self.as_object(self._attributes.get(name), name, types)

    def as_object(self, value: Any, name: str, types: Collection[type]) -> "Part":
        """The value as an object of one of these types exactly."""
        if type(value) not in types:
            self.fail(name, f"of another type than {type(value).__name__}")
        return Part(value)

    def classes(self, name: str = "classes_") -> int:
        """How many classes an array of labels has, each once."""
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
        """Texts, numbers, truth values and None only."""
        for value in values:
            if value is not None and type(value) not in (str, int, float, bool):
                self.fail(name, "texts and numbers")

    def columns(self) -> int:
        """How many columns it takes; the names of the columns are as many."""
        count = self.count("n_features_in_")
        self.feature_names()
        return count

    def feature_names(self) -> None:
        """The names of the columns, if there are any, are texts, one for each column."""
        if "feature_names_in_" not in self._attributes:
            return
        names = self.array("feature_names_in_", (None,), "OU")
        self.ensure(all(type(name) is str for name in names.tolist()), "feature_names_in_", "texts")
        if self.has("n_features_in_"):
            self.ensure(
                len(names) == self.count("n_features_in_"), "feature_names_in_", "one for each column"
            )

    def parts(self, values: Any) -> Iterator["Part"]:
        """Objects as parts."""
        for value in values:
            yield Part(value)
