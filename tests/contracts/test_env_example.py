"""`.env.example` lists all settings, each explained, and nothing else."""

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from app.core.config import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"

# How many processors there are is not known here.
_COMPUTED = {"WORKER_SLOTS"}
_SETTING = re.compile(r"(?P<is_default># ?)?(?P<name>[A-Z][A-Z_]+)=(?P<value>.*)")


def settings_in_example() -> dict[str, tuple[bool, str, str]]:
    """For each setting: whether it is commented out, its value, and the line above it."""
    found = {}
    above = ""
    for line in EXAMPLE.read_text().splitlines():
        if setting := _SETTING.fullmatch(line):
            name = setting["name"]
            assert name not in found, f"{name} is there twice"
            found[name] = (setting["is_default"] is not None, setting["value"], above)
        else:
            assert not line or line.startswith("#"), f"what is this: {line!r}"
        above = line
    return found


def as_written(value: object) -> str:
    """A default as it is written in the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if hasattr(value, "get_secret_value"):
        return str(value.get_secret_value())
    return "" if value is None else str(value)


def test_the_example_names_every_setting_in_order_and_nothing_else() -> None:
    assert list(settings_in_example()) == [name.upper() for name in Settings.model_fields]


def test_each_setting_is_explained_in_the_line_above_it() -> None:
    for name, (_, _, above) in settings_in_example().items():
        assert re.fullmatch(r"# [A-Z].*\.", above), f"{name}: {above!r}"


def test_a_setting_with_a_default_shows_it_and_is_commented_out() -> None:
    for name, (is_commented_out, value, _) in settings_in_example().items():
        field = Settings.model_fields[name.lower()]
        is_required = field.is_required()
        assert is_commented_out is not is_required, name
        if not is_required and name not in _COMPUTED:
            assert field.default is not PydanticUndefined, name
            assert value == as_written(field.default), name


def test_the_example_can_be_used_as_it_is() -> None:
    settings = Settings(_env_file=EXAMPLE)

    assert settings.database_url
    assert settings.redis_url
