"""The registry of kinds, with plugins."""

import pytest
from pydantic import ValidationError

from app.core.config import load_settings
from app.core.errors import ConfigurationError
from app.jobs.kinds import registry
from app.main import create_app
from tests.conftest import MakePlugin

GOOD = """
from app.jobs.kinds.kind import Kind, JobPlan
from app.jobs.requests import JobOptions

def plan(request, found):
    return JobPlan(b"{{}}")


KINDS = {{{listed!r}: Kind(name={name!r}, summary="Something", request=JobOptions, plan=plan)}}
"""


def bringing(name: str, *, listed: str | None = None) -> str:
    """The source of a module `kinds`."""
    return GOOD.format(name=name, listed=listed or name)


def fault(*plugins: str) -> str:
    """The message for these plugins."""
    with pytest.raises(ConfigurationError) as raised:
        registry.load(plugins)
    said = str(raised.value)
    assert said.startswith("PLUGINS: ")
    assert "\n" not in said
    return said


def test_without_plugins_there_are_the_built_in_kinds() -> None:
    assert registry.load(()) == dict(registry.BUILT_IN)
    assert "batch_predict" in registry.BUILT_IN


def test_plugins_add_their_kinds_in_the_order_in_which_they_are_named(make_plugin: MakePlugin) -> None:
    plugins = [make_plugin(name, kinds=bringing(f"kind_of_{name}")) for name in ("zebra", "ant")]

    assert list(registry.load(plugins)) == [*registry.BUILT_IN, "kind_of_zebra", "kind_of_ant"]


def test_loading_plugins_does_not_change_the_built_in_kinds(make_plugin: MakePlugin) -> None:
    registry.load([make_plugin("fine", kinds=bringing("fine"))])

    assert "fine" not in registry.BUILT_IN


def test_a_plugin_cannot_replace_a_built_in_kind(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("greedy", kinds=bringing("batch_predict")))

    assert said == "PLUGINS: greedy adds the kind 'batch_predict', which already exists"


def test_a_kind_is_listed_under_its_own_name(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("confused", kinds=bringing("cats", listed="dogs")))

    assert said == "PLUGINS: confused lists the kind 'cats' under 'dogs'"


def test_training_jobs_take_the_algorithms_of_plugins() -> None:
    request = registry.load(["examples.nearest_centroid"])["train_model"].request
    body = {"rows": [{"x": 1, "y": 2}], "target": "y", "algorithm": "nearest_centroid"}

    found = request.model_validate({**body, "params": {"step": 0.2}})

    assert found.model_dump()["params"] == {"step": 0.2, "patience": 5}
    assert "nearest_centroid" in request.model_json_schema()["$defs"]["Name"]["enum"]
    for wrong in ({"params": {"step": 7}}, {"task": "regression"}, {"algorithm": "astrology"}):
        with pytest.raises(ValidationError):
            request.model_validate({**body, **wrong})
    with pytest.raises(ValidationError):
        registry.load(())["train_model"].request.model_validate(body)


def test_the_api_does_not_start_with_a_wrong_plugin() -> None:
    settings = load_settings(
        _env_file=None,
        database_url="postgresql://nowhere/at_all",
        redis_url="redis://nowhere",
        plugins="no_such_package",
    )

    with pytest.raises(ConfigurationError, match="no_such_package"):
        create_app(settings)


def test_plugins_are_separated_by_commas() -> None:
    settings = load_settings(
        _env_file=None,
        database_url="postgresql://nowhere/at_all",
        redis_url="redis://nowhere",
        plugins=" one , two.three,, ",
    )

    assert settings.plugins == ("one", "two.three")


@pytest.mark.parametrize(
    "kinds", ["KINDS = None", "KINDS = ['word_count']", "KINDS = {'word_count': 'a kind'}"]
)
def test_values_that_are_not_kinds_are_rejected(make_plugin: MakePlugin, kinds: str) -> None:
    assert "nonsense.kinds" in fault(make_plugin("nonsense", kinds=kinds))
