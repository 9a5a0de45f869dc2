"""Options that several commands share, declared once as a dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def with_option_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Replace each dataclass parameter of a command by one option for each of its fields.

    Typer reads options from the signature of a function and cannot share them. Annotate the fields as Typer's
    parameters are annotated:

        @dataclass(frozen=True)
        class ServerOptions:
            url: Annotated[str | None, typer.Option(help="…")] = None

        @app.command("list")
        @with_option_groups
        def list_jobs(server: ServerOptions) -> None: ...
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[DataclassInstance]] = {}
    for parameter in inspect.signature(function).parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and is_dataclass(group):
            groups[parameter.name] = group
            parameters += _parameters(group)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(function)
    def command(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{option.name: values.pop(option.name) for option in fields(group)})
        function(**values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameters(group: type["DataclassInstance"]) -> list[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=annotations[option.name],
        )
        for option in fields(group)
    ]
