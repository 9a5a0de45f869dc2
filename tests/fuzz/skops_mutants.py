"""Mutates fields of a skops file: arrays masked, shortened, extended or converted; counts changed."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

Node = dict[str, Any]
Members = dict[str, bytes]
Change = Callable[[Node, Members], None]

COUNTS: tuple[Any, ...] = (0, 1, -1, 2, 7, 400, 2**31 - 1, 2**31, 2**63, -(2**63), True, 1.5, None, "3")
FLOATS: tuple[Any, ...] = (float("nan"), float("inf"), -1.0, 0.0, 1e308, 3, True, None, "0.5")
TEXTS: tuple[Any, ...] = (
    "",
    "precomputed",
    "passthrough",
    "drop",
    "filename",
    "zero",
    "brute",
    "ovo",
    None,
    1,
)


def unpacked(content: bytes) -> tuple[Node, Members]:
    """Return the schema and the other members of a file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def packed(schema: Node, members: Members) -> bytes:
    """Return a file with this schema and these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def nodes(schema: Node) -> list[Node]:
    """Return every node of a schema, in a fixed order."""
    found: list[Node] = []
    stack: list[Any] = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += part
        elif isinstance(part, dict):
            if "__loader__" in part:
                found.append(part)
            stack += part.values()
    return found


def changes(node: Node, members: Members) -> list[tuple[str, Change]]:
    """Return the named changes that can be applied to a node."""
    match node["__loader__"]:
        case "JsonNode":
            return list(_value_changes(node))
        case "NdArrayNode" if node["type"] == "numpy":
            return list(_array_changes(np.load(io.BytesIO(members[node["file"]]))))
        case "NdArrayNode":
            return [*_list_changes(), ("shape", _set_shape), ("masked", _mask)]
        case "ListNode" | "TupleNode":
            return list(_list_changes())
        case "DictNode":
            return list(_dict_changes(node))
        case "SparseMatrixNode":
            return list(_sparse_changes(members[node["file"]]))
        case "ObjectNode" | "TreeNode" | "LossNode":
            return [("none", _replace_with(None)), ("class", _change_class), ("masked", _mask)]
    return [("none", _replace_with(None))]


def singles(content: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield every mutant with a single change, by name."""
    schema, members = unpacked(content)
    for place, node in enumerate(nodes(schema)):
        for index, (name, _) in enumerate(changes(node, members)):
            yield f"{place}:{name}", _mutant(content, [(place, index)])


def combined(content: bytes, rng: random.Random) -> tuple[str, Callable[[], bytes]]:
    """Return a mutant with two or three random changes, or with one count changed wherever it occurs."""
    schema, members = unpacked(content)
    found = nodes(schema)
    if rng.random() < 0.3:
        counts = sorted({count for node in found if (count := _count(node)) is not None})
        if counts:
            old = rng.choice(counts)
            return f"all {old}", _replace_count(content, old, rng.choice((old + 1, old * 100, old - 1, 1)))
    picks = []
    for _ in range(rng.choice((2, 2, 3))):
        place = rng.randrange(len(found))
        if options := changes(found[place], members):
            picks.append((place, rng.randrange(len(options))))
    return f"combined {picks}", _mutant(content, picks)


def _mutant(content: bytes, picks: list[tuple[int, int]]) -> Callable[[], bytes]:
    def make() -> bytes:
        schema, members = unpacked(content)
        found = nodes(schema)
        for place, index in picks:
            # An earlier change may have removed what a later one changes.
            with suppress(TypeError, KeyError, IndexError, ValueError, EOFError):
                change = changes(found[place], members)[index][1]
                found[place].pop("__id__", None)
                change(found[place], members)
        return packed(schema, members)

    return make


def _replace_count(content: bytes, old: int, new: int) -> Callable[[], bytes]:
    def make() -> bytes:
        schema, members = unpacked(content)
        for node in nodes(schema):
            if _count(node) == old:
                node["content"] = json.dumps(new)
        return packed(schema, members)

    return make


def _count(node: Node) -> int | None:
    if node["__loader__"] != "JsonNode":
        return None
    value = json.loads(node["content"])
    return value if type(value) is int else None


# Values


def _value_changes(node: Node) -> Iterator[tuple[str, Change]]:
    old = json.loads(node["content"])
    options: tuple[Any, ...] = (*COUNTS, *FLOATS, "x") if old is None else TEXTS
    if isinstance(old, bool):
        options = (not old, None, 2, "x")
    elif isinstance(old, int):
        options = (old + 1, old - 1, *COUNTS)
    elif isinstance(old, float):
        options = (old * 10, *FLOATS)
    for value in options:
        if type(value) is not type(old) or value != old:
            yield f"value {value!r}", _replace_with(value)
    if isinstance(old, int | float):
        yield "masked", _mask
        yield "NumPy scalar", _replace_with_scalar(np.array(old))
        yield "larger NumPy scalar", _replace_with_scalar(np.array(old + 5))
        yield "an array", _array_node(np.array([old, old]))


def _replace_with(value: Any) -> Change:
    def change(node: Node, _members: Members) -> None:
        node.clear()
        node |= {
            "__class__": "str",
            "__module__": "builtins",
            "__loader__": "JsonNode",
            "content": json.dumps(value),
            "is_json": True,
        }

    return change


def _replace_with_scalar(value: Any) -> Change:
    def change(node: Node, members: Members) -> None:
        _array_node(value)(node, members)
        node["__class__"] = value.dtype.name if value.dtype != bool else "bool"

    return change


# Arrays


def _array_changes(array: Any) -> Iterator[tuple[str, Change]]:
    yield "masked", _mask
    yield "a subclass", _set_class("memmap")
    yield "one more dimension", _array_node(array[None])
    yield "flat", _array_node(array.reshape(-1))
    yield "empty", _array_node(array.reshape(-1)[:0])
    yield "columns first", _array_node(np.asfortranarray(array))
    yield "claims more", _claim_more(array)
    if array.dtype.fields is None:
        for dtype in ("f4", "f8", "i4", "i8", "u1", "U3", "?", ">f8"):
            if np.dtype(dtype) != array.dtype:
                with suppress(ValueError, TypeError), np.errstate(invalid="ignore"):
                    yield f"as {dtype}", _array_node(array.astype(dtype))
    if not array.ndim or not array.size:
        return
    yield "cut", _array_node(array[:-1])
    yield "cut to one", _array_node(array[:1])
    yield "grown", _array_node(np.concatenate([array, array[-1:]]))
    yield "grown much", _array_node(np.concatenate([array] * 50))
    yield "reversed", _array_node(array[::-1].copy())
    if array.ndim > 1:
        yield "columns cut", _array_node(array[:, :-1])
        yield "columns grown", _array_node(np.concatenate([array, array[:, -1:]], axis=1))
        yield "turned", _array_node(array.T.copy())
    fields = array.dtype.names or (None,)
    for field in fields:
        column = array if field is None else array[field]
        for value in _extremes(column.dtype):
            for place in (0, -1):
                changed = array.copy()
                target = changed if field is None else changed[field]
                target.reshape(-1)[place] = value
                yield f"{field or ''}[{place}] = {value}", _array_node(changed)


def _extremes(dtype: Any) -> tuple[Any, ...]:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return tuple(sorted({info.max, info.min, max(info.min, -1), 1, 5, min(info.max, 1000), 0}))
    if dtype.kind == "f":
        return (np.nan, np.inf, -1e30, 1e9, 0.0)
    return ()


def _array_node(array: Any) -> Change:
    def change(node: Node, members: Members) -> None:
        buffer = io.BytesIO()
        np.save(buffer, array)
        name = f"m{len(members)}.npy"
        members[name] = buffer.getvalue()
        node.clear()
        node |= {
            "__class__": "ndarray",
            "__module__": "numpy",
            "__loader__": "NdArrayNode",
            "type": "numpy",
            "file": name,
        }

    return change


def _claim_more(array: Any) -> Change:
    """Make the array's header claim more elements than the file contains."""

    def change(node: Node, members: Members) -> None:
        _array_node(array)(node, members)
        longer = (*((array.shape[0] + 40,) if array.ndim else ()), *array.shape[1:])
        content = members[node["file"]]
        old, new = str(tuple(array.shape)).encode(), str(tuple(longer)).encode()
        members[node["file"]] = content.replace(old, new, 1)

    return change


def _mask(node: Node, members: Members) -> None:
    data = dict(node)
    mask: Node = {}
    _array_node(np.array(True))(mask, members)
    node.clear()
    node |= {
        "__class__": "MaskedArray",
        "__module__": "numpy.ma",
        "__loader__": "MaskedArrayNode",
        "content": {"data": data, "mask": mask},
    }


def _set_class(name: str) -> Change:
    def change(node: Node, _members: Members) -> None:
        node["__class__"] = name

    return change


def _set_shape(node: Node, members: Members) -> None:
    _replace_with(7)(node["shape"]["content"][0], members)


# Containers and objects


def _list_changes() -> Iterator[tuple[str, Change]]:
    yield "none", _replace_with(None)
    yield "cut", lambda node, _: node.__setitem__("content", list(node["content"])[:-1])
    yield "grown", lambda node, _: node.__setitem__("content", [*node["content"], *node["content"][-1:]])
    yield "grown much", lambda node, _: node.__setitem__("content", list(node["content"]) * 100)
    yield "empty", lambda node, _: node.__setitem__("content", [])
    yield "reversed", lambda node, _: node.__setitem__("content", list(node["content"])[::-1])
    yield "in a list", lambda node, _: node.__setitem__("content", [dict(node), dict(node)])
    yield "a tuple", lambda node, _: node.update(__class__="tuple", __loader__="TupleNode")


def _dict_changes(node: Node) -> Iterator[tuple[str, Change]]:
    keys = list(node["content"])
    for place, key in enumerate(keys[:40]):
        yield f"without {key}", _without(place)
    if len(keys) > 1:
        yield "exchanged", _swap_values
        yield "the same value", _duplicate_value


def _without(place: int) -> Change:
    def change(node: Node, _members: Members) -> None:
        key = list(node["content"])[place]
        del node["content"][key]
        del node["key_types"]["content"][place]

    return change


def _swap_values(node: Node, _members: Members) -> None:
    keys = list(node["content"])
    first, last = node["content"][keys[0]], node["content"][keys[-1]]
    node["content"][keys[0]], node["content"][keys[-1]] = last, first


def _duplicate_value(node: Node, _members: Members) -> None:
    keys = list(node["content"])
    node["content"][keys[-1]] = dict(node["content"][keys[0]])


_OTHERS = {
    "DecisionTreeClassifier": "DecisionTreeRegressor",
    "DecisionTreeRegressor": "DecisionTreeClassifier",
    "RandomForestClassifier": "RandomForestRegressor",
    "RandomForestRegressor": "RandomForestClassifier",
    "GradientBoostingClassifier": "GradientBoostingRegressor",
    "HalfMultinomialLoss": "HalfBinomialLoss",
    "HalfBinomialLoss": "HalfSquaredError",
    "MultinomialLogit": "LogitLink",
    "LogitLink": "IdentityLink",
    "SVC": "SVR",
    "SVR": "NuSVR",
    "OneHotEncoder": "OrdinalEncoder",
    "StandardScaler": "Normalizer",
    "CountVectorizer": "TfidfVectorizer",
    "DummyClassifier": "DummyRegressor",
}


def _change_class(node: Node, _members: Members) -> None:
    node["__class__"] = _OTHERS.get(node["__class__"], "OneClassSVM")


def _sparse_changes(content: bytes) -> Iterator[tuple[str, Change]]:
    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if array.ndim == 0:
            continue
        yield f"{name} cut", _sparse_node({**arrays, name: array[:-1]})
        yield f"{name} grown", _sparse_node({**arrays, name: np.concatenate([array, array[-1:]])})
        for value in _extremes(array.dtype):
            for place in (0, len(array) // 2, -1):
                changed = array.copy()
                changed[place] = value
                yield f"{name}[{place}] = {value}", _sparse_node({**arrays, name: changed})


def _sparse_node(arrays: dict[str, Any]) -> Change:
    def change(node: Node, members: Members) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        name = f"m{len(members)}.npz"
        members[name] = buffer.getvalue()
        node["file"] = name

    return change
