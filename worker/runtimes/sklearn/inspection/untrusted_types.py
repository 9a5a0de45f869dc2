"""Find all types in a schema that are not trusted, so that a refusal can name all of them at once."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.runtimes.sklearn.inspection import functions
from worker.runtimes.sklearn.inspection.registry import TYPES

TRUSTED_NAMES: Final = {
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
"""The trusted type names for each node type of skops. Other node types are never trusted."""

NAMELESS: Final = frozenset({"JsonNode", "CachedNode", "SparseMatrixNode"})
"""Node types whose object does not depend on the name."""


def name_of(node: dict[str, Any]) -> str:
    """Return the name of a node's type."""
    return f"{node.get('__module__')}.{node.get('__class__')}"


def find_untrusted(schema: Any) -> set[str]:
    """Return the names of untrusted types in a schema, except in attributes that are never constructed."""
    return set(_find_untrusted(schema))


def _find_untrusted(schema: Any) -> Iterator[str]:
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += _containers(part)
            continue
        if not isinstance(part, dict):
            continue
        if isinstance(loader := part.get("__loader__"), str) and loader not in NAMELESS:
            name = name_of(part)
            if name not in TRUSTED_NAMES.get(loader, ()):
                yield name
                continue
            if loader == "ObjectNode":
                pending += _constructed_attributes(part, TYPES[name].attributes)
                continue
        pending += _containers(part.values())


def _containers(values: Iterable[Any]) -> list[Any]:
    """Return the lists and dicts, skipping texts and numbers, which are nine values in ten."""
    return [value for value in values if isinstance(value, (dict, list))]


def _constructed_attributes(node: dict[str, Any], attributes: frozenset[str]) -> list[Any]:
    state = node.get("content")
    content = state.get("content") if isinstance(state, dict) else None
    return [content[name] for name in attributes & content.keys()] if isinstance(content, dict) else []
