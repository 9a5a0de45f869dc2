"""Load what the packages named in PLUGINS add: one module and one mapping for each extension point."""

import importlib
import importlib.util
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from app.core.errors import ConfigurationError

T = TypeVar("T")

MODULES: Final = (
    *("kinds", "completions", "handlers", "formats", "runtimes", "algorithms", "learners"),
    "channels",
)
"""The modules of a plugin that Headrace looks for. Each has a mapping of the same name in capitals."""


@dataclass(frozen=True)
class ExtensionPoint(Generic[T]):
    """One of `MODULES`: its mapping goes from names to values that `accepts` takes.

    `noun` names a value in messages. `name_of` returns the name that a value itself carries, if it does.
    """

    module: str
    noun: str
    accepts: Callable[[Any], bool]
    name_of: Callable[[T], str] | None = None

    @property
    def attribute(self) -> str:
        """Name of the mapping."""
        return self.module.upper()

    def load(self, plugins: Iterable[str], taken: Container[str]) -> dict[str, T]:
        """Return what the plugins add, in the order in which PLUGINS names them.

        Raises ConfigurationError if a plugin cannot be imported, adds nothing to any extension point, or adds
        a name that is `taken` or belongs to an earlier plugin.
        """
        added: dict[str, T] = {}
        for plugin in plugins:
            for name, value in self._mapping(plugin).items():
                if name in taken or name in added:
                    raise ConfigurationError(
                        f"PLUGINS: {plugin} adds the {self.noun} {name!r}, which already exists"
                    )
                if self.name_of is not None and self.name_of(value) != name:
                    raise ConfigurationError(
                        f"PLUGINS: {plugin} lists the {self.noun} {self.name_of(value)!r} under {name!r}"
                    )
                added[name] = value
        return added

    def _mapping(self, plugin: str) -> Mapping[str, T]:
        if self.module not in modules(plugin):
            return {}
        module = f"{plugin}.{self.module}"
        mapping = getattr(_import(module), self.attribute, None)
        if mapping is None:
            raise ConfigurationError(f"PLUGINS: {module} does not define {self.attribute}")
        if not isinstance(mapping, Mapping) or not all(
            isinstance(name, str) and self.accepts(value) for name, value in mapping.items()
        ):
            raise ConfigurationError(f"PLUGINS: {self.attribute} of {module} must map names to {self.noun}s")
        return mapping


def modules(plugin: str) -> list[str]:
    """Return which of `MODULES` a plugin has, without importing them."""
    _import(plugin)
    try:
        found = [name for name in MODULES if importlib.util.find_spec(f"{plugin}.{name}") is not None]
    except ModuleNotFoundError:
        raise ConfigurationError(f"PLUGINS: {plugin} is a module, not a package") from None
    if not found:
        raise ConfigurationError(
            f"PLUGINS: {plugin} adds nothing; a plugin has at least one of the modules {', '.join(MODULES)}"
        )
    return found


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a foreign module may raise anything
        raise ConfigurationError(f"PLUGINS: {name} cannot be imported: {error}") from error
