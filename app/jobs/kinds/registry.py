"""Which kinds there are: our own, and those of the packages that the setting PLUGINS names."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from app.core.errors import ConfigurationError
from app.jobs.kinds import batch_predict, evaluate_model, inspect_model, train_model
from app.jobs.kinds.kind import Kind

BUILT_IN: Final[Mapping[str, Kind]] = {
    batch_predict.KIND.name: batch_predict.KIND,
    evaluate_model.KIND.name: evaluate_model.KIND,
    inspect_model.KIND.name: inspect_model.KIND,
    train_model.KIND.name: train_model.KIND,
}


def load(plugins: Iterable[str]) -> dict[str, Kind]:
    """All kinds by name. A plugin is a package with a module `kinds` that has a mapping `KINDS`.

    Raises ConfigurationError if one cannot be imported, or brings a kind that is there already.
    """
    kinds = dict(BUILT_IN)
    for plugin in plugins:
        for name, kind in _kinds_of(plugin).items():
            if name in kinds:
                raise ConfigurationError(f"PLUGINS: {plugin} brings the kind {name!r}, which exists already")
            if name != kind.name:
                raise ConfigurationError(f"PLUGINS: {plugin} lists the kind {kind.name!r} under {name!r}")
            kinds[name] = kind
    return kinds


def _kinds_of(plugin: str) -> Mapping[str, Kind]:
    try:
        kinds: Any = importlib.import_module(f"{plugin}.kinds").KINDS
    except Exception as error:  # whatever a module that is not ours may raise as it is imported
        raise ConfigurationError(f"PLUGINS: {plugin}.kinds does not give KINDS: {error}") from error
    if not isinstance(kinds, Mapping) or not all(isinstance(kind, Kind) for kind in kinds.values()):
        raise ConfigurationError(f"PLUGINS: KINDS of {plugin}.kinds is no mapping from names to kinds")
    return cast("Mapping[str, Kind]", kinds)
