"""Changes one field of a skops file, or a few: arrays masked, cut, grown, retyped; counts changed."""

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
    """The schema and the other members of a file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def packed(schema: Node, members: Members) -> bytes:
    """A file of these."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def nodes(schema: Node) -> list[Node]:
    """Every node of a schema, in a fixed order."""
    found: list[Node] = []
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            if "__loader__" in part:
                found.append(part)
            waiting += part.values()
    return found


def changes(node: Node, members: Members) -> list[tuple[str, Change]]:
    """What can be done to a node, each with a name."""
    match node["__loader__"]:
        case "JsonNode":
            return list(_of_value(node))
        case "NdArrayNode" if node["type"] == "numpy":
            return list(_of_array(np.load(io.BytesIO(members[node["file"]]))))
        case "NdArrayNode":
            return [*_of_list(), ("shape", _set_shape), ("masked", _masked)]
        case "ListNode" | "TupleNode":
            return list(_of_list())
        case "DictNode":
            return list(_of_dict(node))
        case "SparseMatrixNode":
            return list(_of_sparse(members[node["file"]]))
        case "ObjectNode" | "TreeNode" | "LossNode":
            return [("none", _becomes(None)), ("class", _other_class), ("masked", _masked)]
    return [("none", _becomes(None))]


def singles(content: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every mutant of one change, by name."""
    schema, members = unpacked(content)
    for place, node in enumerate(nodes(schema)):
        for which, (name, _) in enumerate(changes(node, members)):
            yield f"{place}:{name}", _later(content, [(place, which)])


def combined(content: bytes, chance: random.Random) -> tuple[str, Callable[[], bytes]]:
    """A mutant of two or three changes, or of a count that is changed wherever it is."""
    schema, members = unpacked(content)
    found = nodes(schema)
    if chance.random() < 0.3:
        counts = sorted({count for node in found if (count := _count(node)) is not None})
        if counts:
            old = chance.choice(counts)
            return f"all {old}", _everywhere(content, old, chance.choice((old + 1, old * 100, old - 1, 1)))
    picks = []
    for _ in range(chance.choice((2, 2, 3))):
        place = chance.randrange(len(found))
        if options := changes(found[place], members):
            picks.append((place, chance.randrange(len(options))))
    return f"together {picks}", _later(content, picks)


def _later(content: bytes, picks: list[tuple[int, int]]) -> Callable[[], bytes]:
    def make() -> bytes:
        schema, members = unpacked(content)
        found = nodes(schema)
        for place, which in picks:
            # An earlier change may have taken the place of a later one away.
            with suppress(TypeError, KeyError, IndexError, ValueError, EOFError):
                change = changes(found[place], members)[which][1]
                found[place].pop("__id__", None)
                change(found[place], members)
        return packed(schema, members)

    return make


def _everywhere(content: bytes, old: int, new: int) -> Callable[[], bytes]:
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


def _of_value(node: Node) -> Iterator[tuple[str, Change]]:
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
            yield f"value {value!r}", _becomes(value)
    if isinstance(old, int | float):
        yield "masked", _masked
        yield "NumPy's", _of_numpy(np.array(old))
        yield "NumPy's, more", _of_numpy(np.array(old + 5))
        yield "an array", _array_node(np.array([old, old]))


def _becomes(value: Any) -> Change:
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


def _of_numpy(value: Any) -> Change:
    def change(node: Node, members: Members) -> None:
        _array_node(value)(node, members)
        node["__class__"] = value.dtype.name if value.dtype != bool else "bool"

    return change


# Arrays


def _of_array(array: Any) -> Iterator[tuple[str, Change]]:
    yield "masked", _masked
    yield "a subclass", _rename("memmap")
    yield "one more dimension", _array_node(array[None])
    yield "flat", _array_node(array.reshape(-1))
    yield "empty", _array_node(array.reshape(-1)[:0])
    yield "columns first", _array_node(np.asfortranarray(array))
    yield "claims more", _claims(array)
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


def _claims(array: Any) -> Change:
    """Its header says that it is longer than it is."""

    def change(node: Node, members: Members) -> None:
        _array_node(array)(node, members)
        longer = (*((array.shape[0] + 40,) if array.ndim else ()), *array.shape[1:])
        content = members[node["file"]]
        old, new = str(tuple(array.shape)).encode(), str(tuple(longer)).encode()
        members[node["file"]] = content.replace(old, new, 1)

    return change


def _masked(node: Node, members: Members) -> None:
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


def _rename(name: str) -> Change:
    def change(node: Node, _members: Members) -> None:
        node["__class__"] = name

    return change


def _set_shape(node: Node, members: Members) -> None:
    _becomes(7)(node["shape"]["content"][0], members)


# Containers and objects


def _of_list() -> Iterator[tuple[str, Change]]:
    yield "none", _becomes(None)
    yield "cut", lambda node, _: node.__setitem__("content", list(node["content"])[:-1])
    yield "grown", lambda node, _: node.__setitem__("content", [*node["content"], *node["content"][-1:]])
    yield "grown much", lambda node, _: node.__setitem__("content", list(node["content"]) * 100)
    yield "empty", lambda node, _: node.__setitem__("content", [])
    yield "reversed", lambda node, _: node.__setitem__("content", list(node["content"])[::-1])
    yield "in a list", lambda node, _: node.__setitem__("content", [dict(node), dict(node)])
    yield "a tuple", lambda node, _: node.update(__class__="tuple", __loader__="TupleNode")


def _of_dict(node: Node) -> Iterator[tuple[str, Change]]:
    keys = list(node["content"])
    for place, key in enumerate(keys[:40]):
        yield f"without {key}", _without(place)
    if len(keys) > 1:
        yield "exchanged", _exchanged
        yield "the same value", _same


def _without(place: int) -> Change:
    def change(node: Node, _members: Members) -> None:
        key = list(node["content"])[place]
        del node["content"][key]
        del node["key_types"]["content"][place]

    return change


def _exchanged(node: Node, _members: Members) -> None:
    keys = list(node["content"])
    first, last = node["content"][keys[0]], node["content"][keys[-1]]
    node["content"][keys[0]], node["content"][keys[-1]] = last, first


def _same(node: Node, _members: Members) -> None:
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


def _other_class(node: Node, _members: Members) -> None:
    node["__class__"] = _OTHERS.get(node["__class__"], "OneClassSVM")


def _of_sparse(content: bytes) -> Iterator[tuple[str, Change]]:
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
