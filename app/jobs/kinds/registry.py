"""Registry of job kinds: the built-in ones, and those that plugins add."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final

from app.core.plugins import ExtensionPoint
from app.jobs.algorithms import catalogue
from app.jobs.kinds import (
    batch_predict,
    convert_model,
    evaluate_model,
    inspect_model,
    preprocess_dataset,
    send_email,
    train_model,
)
from app.jobs.kinds.kind import Kind

BUILT_IN: Final[Mapping[str, Kind]] = {
    batch_predict.KIND.name: batch_predict.KIND,
    convert_model.KIND.name: convert_model.KIND,
    evaluate_model.KIND.name: evaluate_model.KIND,
    inspect_model.KIND.name: inspect_model.KIND,
    preprocess_dataset.KIND.name: preprocess_dataset.KIND,
    send_email.KIND.name: send_email.KIND,
    train_model.KIND.name: train_model.KIND,
}

KINDS: Final = ExtensionPoint[Kind](
    "kinds", "kind", lambda value: isinstance(value, Kind), name_of=attrgetter("name")
)


def load(plugins: Iterable[str]) -> dict[str, Kind]:
    """Return all kinds by name; `train_model` takes the algorithms of the plugins too.

    Raises ConfigurationError if a plugin is wrong.
    """
    plugins = tuple(plugins)
    training = train_model.with_algorithms(catalogue.load(plugins))
    return {**BUILT_IN, training.name: training, **KINDS.load(plugins, taken=BUILT_IN)}
