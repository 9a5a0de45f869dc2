"""Construct the objects that a schema describes, of trusted types only, and check each one immediately."""

import json
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from sklearn.utils.validation import check_array

from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn.inspection import arrays, functions, random_states
from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.registry import TYPES
from worker.runtimes.sklearn.inspection.trees import build_tree
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType
from worker.runtimes.sklearn.inspection.untrusted_types import TRUSTED_NAMES, name_of

MAX_PROTOCOL: Final = 2
MAX_DIMENSIONS: Final = 32
KEY_TYPES: Final = (str, int, float, bool, type(None))

Node = dict[str, Any]
_UNFINISHED: Final = object()


class Loader:
    """Loads the object in one file."""

    def __init__(self, archive: zipfile.ZipFile, schema: Any) -> None:
        if type(schema) is not dict:
            raise BrokenModel("its schema is not a JSON object")
        protocol = schema.get("protocol")
        if type(protocol) is not int or not 0 <= protocol <= MAX_PROTOCOL:
            raise BrokenModel(
                f"it has the skops protocol {protocol!r}; supported are protocols up to {MAX_PROTOCOL}"
            )
        self._archive = archive
        self._schema = schema
        self._objects: dict[Any, Any] = {}
        self._constructors: dict[str, Callable[[Node], Any]] = {
            "JsonNode": _plain_value,
            "CachedNode": self._cached,
            "DictNode": self._dict,
            "ListNode": self._list,
            "TupleNode": lambda node: tuple(self._list(node)),
            "SetNode": self._set,
            "SliceNode": _slice,
            "NdArrayNode": self._array,
            "SparseMatrixNode": lambda node: arrays.read_sparse(self._member(node)),
            "DTypeNode": self._dtype,
            "TypeNode": lambda node: functions.DATA_TYPES[name_of(node)],
            "FunctionNode": lambda node: functions.FUNCTIONS[name_of(node)],
            "PartialNode": self._partial,
            "RandomStateNode": lambda node: random_states.legacy(self.build(node["content"])),
            "RandomGeneratorNode": lambda node: random_states.generator(
                self.build(node["content"]["bit_generator"])
            ),
            "LossNode": self._loss,
            "TreeNode": self._tree,
            "ObjectNode": self._object,
        }

    def load(self) -> Any:
        """Construct the object. Raises UnsafeModel, BrokenModel, and KeyError etc. for a malformed schema."""
        return self.build(self._schema)

    def build(self, node: Any) -> Any:
        """Construct the object of a node. Returns the same object for nodes with the same id."""
        if type(node) is not dict:
            raise BrokenModel("its schema has a value in place of a node")
        identity = node.get("__id__")
        if identity and identity in self._objects:
            if self._objects[identity] is _UNFINISHED:
                raise BrokenModel("its schema has an object that contains itself")
            return self._objects[identity]
        loader = node.get("__loader__")
        if type(loader) is not str:
            raise BrokenModel("its schema has a value in place of a node")
        if loader in TRUSTED_NAMES and name_of(node) not in TRUSTED_NAMES[loader]:
            raise UnsafeModel([name_of(node)])
        constructor = self._constructors.get(loader)
        if constructor is None:
            raise UnsafeModel([name_of(node)])
        if identity:
            self._objects[identity] = _UNFINISHED
        value = constructor(node)
        if identity:
            self._objects[identity] = value
        return value

    def _cached(self, node: Node) -> Any:
        raise BrokenModel(f"its schema refers to an unknown object {node.get('__id__')!r}")

    def _member(self, node: Node) -> bytes:
        name = node["file"]
        if type(name) is not str:
            raise BrokenModel("its schema names a file with a value that is not a text")
        return self._archive.read(name)

    def _list(self, node: Node) -> list[Any]:
        content = node["content"]
        if type(content) is not list:
            raise BrokenModel("its schema has a list without a list of items")
        return [self.build(item) for item in content]

    def _set(self, node: Node) -> set[Any]:
        return set(_ensure_plain(self._list(node)))

    def _dict(self, node: Node) -> dict[Any, Any]:
        types, content = self.build(node["key_types"]), node["content"]
        if type(content) is not dict or type(types) is not list or len(types) != len(content):
            raise BrokenModel("its schema has a dictionary without a type for each key")
        items = {
            _key(kind, key): self.build(value)
            for kind, (key, value) in zip(types, content.items(), strict=True)
        }
        if len(items) != len(content):
            raise BrokenModel("its schema has a dictionary with a duplicate key")
        return items

    def _array(self, node: Node) -> Any:
        number = functions.NUMBER_TYPES.get(name_of(node))
        if node["type"] == "numpy":
            array = arrays.read(self._member(node))
            if number is None:
                return array
            if array.ndim or array.dtype.fields is not None:
                raise BrokenModel("its schema has an array in place of a number")
            return number(array)
        if node["type"] != "json" or number is not None:
            raise BrokenModel("its schema has an array of an unknown form")
        return _object_array(self._list(node), self.build(node["shape"]))

    def _dtype(self, node: Node) -> np.dtype[Any]:
        empty = self.build(node["content"])
        if type(empty) is not np.ndarray or empty.size or empty.dtype.fields is not None:
            raise BrokenModel("its schema has an invalid data type")
        kind: np.dtype[Any] = empty.dtype
        return kind

    def _partial(self, node: Node) -> Any:
        """Construct a partial of `check_array` with plain keyword arguments, as histogram boosting has it."""
        content = node["content"]
        function, args, keywords = (self.build(content[name]) for name in ("func", "args", "kwds"))
        is_known = function is check_array and args == () and type(keywords) is dict
        if not is_known or not keywords.keys() <= {"dtype", "ensure_all_finite", "force_all_finite"}:
            raise UnsafeModel(
                ["functools.partial"], "it has a functools.partial of another function than check_array"
            )
        return partial(check_array, **keywords)

    def _loss(self, node: Node) -> Any:
        args = self.build(node["__reduce__"]["args"])
        if type(args) is not tuple or len(args) > 1 or not all(type(value) in (int, float) for value in args):
            raise BrokenModel("it has a loss with invalid parameters")
        return functions.LOSSES[name_of(node)](*args)

    def _tree(self, node: Node) -> Any:
        return build_tree(self.build(node["__reduce__"]["args"]), self.build(node["content"]))

    def _object(self, node: Node) -> Any:
        trusted = TYPES[name_of(node)]
        instance: Any = object.__new__(trusted.type)
        state = node.get("content")
        if state is None or state.get("__loader__") == "JsonNode":
            return instance  # it has no attributes
        if state.get("__loader__") != "DictNode" or type(state["content"]) is not dict:
            raise BrokenModel(f"its {trusted.type.__name__} has invalid attributes")
        for name, value in state["content"].items():
            if name in trusted.attributes:
                instance.__dict__[name] = self.build(value)
        _check(instance, trusted)
        return instance


def _check(instance: Any, trusted: TrustedType) -> None:
    attributes = instance.__dict__
    # One thread, because a slot is one core, and no cache in a folder that the file names.
    for name in ("n_jobs", "memory"):
        if name in attributes:
            attributes[name] = None
    attributes |= dict.fromkeys(trusted.cleared_names)
    part = Part(instance)
    if trusted.required and not any(name in attributes for name in trusted.required):
        part.feature_names()
        return
    for name in trusted.required:
        if name not in attributes:
            raise BrokenModel(f"its {part.name} has no {name}")
    part.feature_names()
    trusted.check(part)


def _plain_value(node: Node) -> Any:
    content = node["content"]
    value = json.loads(content) if type(content) is str else _UNFINISHED
    if value is not None and type(value) not in KEY_TYPES:
        raise BrokenModel("its schema has a value that is neither text nor number")
    return value


def _ensure_plain(values: list[Any]) -> list[Any]:
    if any(type(value) not in KEY_TYPES for value in values):
        raise BrokenModel("its schema has a set with values that are neither text nor number")
    return values


def _slice(node: Node) -> slice:
    ends = [node["content"][name] for name in ("start", "stop", "step")]
    if any(end is not None and type(end) not in (int, str) for end in ends):
        raise BrokenModel("its schema has an invalid slice")
    return slice(*ends)


def _key(kind: Any, key: str) -> Any:
    if kind is bool or kind is np.bool_:
        return key in ("True", "true", "1")
    if kind is str or kind is np.str_:
        return key
    if kind is float or (isinstance(kind, type) and issubclass(kind, np.floating)):
        return float(key)
    if kind is int or (isinstance(kind, type) and issubclass(kind, np.integer)):
        return int(key)
    raise BrokenModel("its schema has a dictionary with keys of an unsupported type")


def _object_array(items: list[Any], shape: Any) -> Any:
    """Build an array of objects, which skops writes as nested lists, one level per dimension."""
    if type(shape) is not tuple or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise BrokenModel("its schema has an array with an invalid shape")
    for level in range(1, len(shape)):
        if any(type(item) is not list or len(item) != shape[level] for item in items):
            raise BrokenModel("its schema has an array whose lists do not match its shape")
        items = [inner for item in items for inner in item]
    count = 1
    for length in shape:
        if type(length) is not int or length < 0:
            raise BrokenModel("its schema has an array with an invalid shape")
        count *= length
    if count != len(items):
        raise BrokenModel("its schema has an array whose size does not match its shape")
    array = np.empty(count, dtype=object)
    array[:] = items
    return array.reshape(shape)
