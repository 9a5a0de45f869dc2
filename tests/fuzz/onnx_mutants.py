"""Mutates fields of an ONNX file: tensors, dimensions, attributes, edges, versions."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import onnx
from google.protobuf.message import Message

INTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 1000, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**62))
FLOATS: tuple[float, ...] = (0.0, -1.0, 1e30, float("nan"), float("inf"))
TEXTS: tuple[bytes, ...] = (b"", b"x", b"LEAF", b"BRANCH_LEQ", b"SOFTMAX", b"reflect", b"a" * 1000)
TYPES: tuple[int, ...] = (1, 6, 7, 8, 9, 11, 2)

Change = Callable[[Any], None]
FieldPath = tuple[tuple[str, int | None], ...]


def singles(content: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield every mutant with a single change, by name."""
    model = onnx.load_from_string(content)
    for path, part in _parts(model):
        for index, (name, _) in enumerate(_changes(part, model)):
            yield f"{_format(path)} {name}", _mutant(content, [(path, index)])


def combined(content: bytes, rng: random.Random) -> tuple[str, Callable[[], bytes]]:
    """Return a mutant with two or three random changes."""
    model = onnx.load_from_string(content)
    found = list(_parts(model))
    picks = []
    for _ in range(rng.choice((2, 2, 3))):
        path, part = rng.choice(found)
        if options := _changes(part, model):
            picks.append((path, rng.randrange(len(options))))
    return f"combined {[(_format(path), index) for path, index in picks]}", _mutant(content, picks)


def _mutant(content: bytes, picks: list[tuple[FieldPath, int]]) -> Callable[[], bytes]:
    def make() -> bytes:
        model = onnx.load_from_string(content)
        for path, index in picks:
            part = _at(model, path)
            options = [] if part is None else _changes(part, model)
            if part is not None and index < len(options):
                with suppress(IndexError, ValueError, TypeError):  # an earlier change removed the field
                    options[index][1](part)
        written: bytes = model.SerializeToString()
        return written

    return make


def _parts(message: Message) -> Iterator[tuple[FieldPath, Message]]:
    stack: list[tuple[FieldPath, Message]] = [((), message)]
    while stack:
        path, part = stack.pop()
        yield path, part
        for field, value in part.ListFields():
            if field.message_type is None:
                continue
            if isinstance(value, Message):
                stack.append(((*path, (field.name, None)), value))
            else:
                stack += (((*path, (field.name, place)), inner) for place, inner in enumerate(value))


def _at(message: Any, path: FieldPath) -> Any:
    part = message
    for name, place in path:
        part = getattr(part, name)
        if place is not None:
            if place >= len(part):
                return None
            part = part[place]
    return part


def _format(path: FieldPath) -> str:
    return ".".join(name if place is None else f"{name}{place}" for name, place in path)


def _changes(part: Any, model: onnx.ModelProto) -> list[tuple[str, Change]]:
    found: list[tuple[str, Change]] = []
    for field, value in part.ListFields():
        name = field.name
        if name in ("doc_string", "producer_name", "producer_version", "metadata_props", "external_data"):
            continue
        if isinstance(value, Message):
            found.append((f"no {name}", _clear(name)))
        elif field.is_repeated:
            found += _list_changes(name, value, model)
        else:
            found += [
                (f"{name} = {new!r}"[:60], _set(name, new)) for new in _alternatives(name, value, model)
            ]
    return found


def _list_changes(name: str, value: Any, model: onnx.ModelProto) -> Iterator[tuple[str, Change]]:
    yield f"no {name}", _clear(name)
    yield f"{name} shortened", lambda part: part.__getattribute__(name).pop()
    yield f"{name} extended", _extend(name, 1)
    yield f"{name} extended far", _extend(name, 200)
    if len(value) > 1:
        yield f"{name} reduced to one", _truncate(name)
    if isinstance(value[0], Message):
        return
    for place in {0, len(value) // 2, len(value) - 1}:
        for new in _alternatives(name, value[place], model):
            yield f"{name}[{place}] = {new!r}"[:60], _set_item(name, place, new)


def _alternatives(name: str, value: Any, model: onnx.ModelProto) -> Iterator[Any]:
    if name == "op_type":
        yield from sorted({node.op_type for node in model.graph.node} - {value})
        yield from ("Gather", "Reshape", "TreeEnsembleRegressor", "LinearClassifier")
    elif name in ("data_type", "elem_type", "to"):
        yield from TYPES
    elif name == "raw_data":
        yield from (value[:-1], value[:-4], value[: len(value) // 2], value + value, b"\xff" * len(value))
    elif name in ("input", "output", "name", "dim_param"):
        names = [tensor.name for tensor in model.graph.initializer][:4]
        names += [made for node in model.graph.node for made in node.output][:4]
        yield from (new for new in ("", "absent", *names) if new != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (new for new in (value + 1, value - 1, *INTS) if new != value)
    elif isinstance(value, float):
        yield from FLOATS
    elif isinstance(value, bytes):
        yield from TEXTS
    elif isinstance(value, str):
        yield from ("", "x")


def _clear(name: str) -> Change:
    return lambda part: part.ClearField(name)


def _set(name: str, value: Any) -> Change:
    def change(part: Any) -> None:
        try:
            setattr(part, name, value)
        except (ValueError, TypeError):
            part.ClearField(name)

    return change


def _set_item(name: str, place: int, value: Any) -> Change:
    def change(part: Any) -> None:
        try:
            getattr(part, name)[place] = value
        except (ValueError, TypeError):
            getattr(part, name).pop(place)

    return change


def _extend(name: str, times: int) -> Change:
    def change(part: Any) -> None:
        values = getattr(part, name)
        for _ in range(times):
            values.append(values[-1])

    return change


def _truncate(name: str) -> Change:
    def change(part: Any) -> None:
        del getattr(part, name)[1:]

    return change
