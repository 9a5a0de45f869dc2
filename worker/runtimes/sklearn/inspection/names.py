"""Finds the types in a schema that are not trusted, so that a refusal can name all of them at once."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.runtimes.sklearn.inspection import functions
from worker.runtimes.sklearn.inspection.registry import TYPES

PLAIN: Final = {
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState", "numpy.random.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator", "numpy.random.Generator"}),
    "PartialNode": frozenset({"functools.partial"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "NdArrayNode": frozenset({"numpy.ndarray", *functions.NUMBER_TYPES}),
    "TypeNode": functions.DATA_TYPES.keys(),
    "FunctionNode": functions.FUNCTIONS.keys(),
    "ObjectNode": TYPES.keys(),
    "LossNode": functions.LOSSES.keys(),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
}
"""The names that each loader of skops may have; those of other loaders are never trusted."""

ANY_NAME: Final = frozenset({"JsonNode", "CachedNode", "SparseMatrixNode"})
"""Loaders whose result does not depend on the name."""


def name_of(node: dict[str, Any]) -> str:
    """The type that a node asks for."""
    return f"{node.get('__module__')}.{node.get('__class__')}"


def unknown(schema: Any) -> set[str]:
    """The types in a schema that are not trusted. What is never constructed does not count."""
    return set(_unknown(schema))


def _unknown(schema: Any) -> Iterator[str]:
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += _containers(part)
            continue
        if not isinstance(part, dict):
            continue
        if isinstance(loader := part.get("__loader__"), str) and loader not in ANY_NAME:
            name = name_of(part)
            if name not in PLAIN.get(loader, ()):
                yield name
                continue
            if loader == "ObjectNode":
                waiting += _constructed(part, TYPES[name].attributes)
                continue
        waiting += _containers(part.values())


def _containers(values: Iterable[Any]) -> list[Any]:
    """What may hold types: nine values in ten are texts and numbers."""
    return [value for value in values if isinstance(value, (dict, list))]


def _constructed(node: dict[str, Any], attributes: frozenset[str]) -> list[Any]:
    state = node.get("content")
    content = state.get("content") if isinstance(state, dict) else None
    return [content[name] for name in attributes & content.keys()] if isinstance(content, dict) else []
