"""Which kinds there are, and what is said of a plugin that is wrong."""

import pytest

from app.core.config import load_settings
from app.core.errors import ConfigurationError
from app.jobs.kinds import registry
from app.main import create_app
from tests.jobs.kinds.conftest import MakePlugin

GOOD = """
from app.jobs.kinds.kind import Kind, JobPlan
from app.jobs.requests import JobOptions

def plan(request, found):
    return JobPlan(b"{{}}")


KINDS = {{{listed!r}: Kind(name={name!r}, summary="Something", request=JobOptions, plan=plan)}}
"""


def bringing(name: str, *, listed: str | None = None) -> str:
    """The source of a module that brings a kind."""
    return GOOD.format(name=name, listed=listed or name)


def fault(*plugins: str) -> str:
    """What is said of these plugins."""
    with pytest.raises(ConfigurationError) as raised:
        registry.load(plugins)
    said = str(raised.value)
    assert said.startswith("PLUGINS: ")
    assert "\n" not in said
    return said


def test_without_plugins_there_are_our_own_kinds() -> None:
    assert registry.load(()) == dict(registry.BUILT_IN)
    assert "batch_predict" in registry.BUILT_IN


def test_plugins_bring_their_kinds_in_the_order_in_which_they_are_named(make_plugin: MakePlugin) -> None:
    plugins = [make_plugin(name, kinds=bringing(f"kind_of_{name}")) for name in ("zebra", "ant")]

    assert list(registry.load(plugins)) == [*registry.BUILT_IN, "kind_of_zebra", "kind_of_ant"]


def test_loading_plugins_leaves_our_own_kinds_as_they_are(make_plugin: MakePlugin) -> None:
    registry.load([make_plugin("fine", kinds=bringing("fine"))])

    assert "fine" not in registry.BUILT_IN


def test_a_plugin_that_does_not_exist_is_named() -> None:
    assert "no_such_package" in fault("no_such_package")


def test_a_plugin_without_a_module_of_kinds_is_named(make_plugin: MakePlugin) -> None:
    assert "bare.kinds" in fault(make_plugin("bare"))


def test_a_plugin_without_kinds_is_named(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("empty", kinds="KIND = None"))

    assert "empty.kinds does not give KINDS" in said


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_library_that_is_not_there", "a_library_that_is_not_there"),
        ("KINDS = {", "was never closed"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("KINDS = 1 / 0", "division by zero"),
    ],
)
def test_a_plugin_whose_import_fails_is_named_with_the_reason(
    make_plugin: MakePlugin, source: str, reason: str
) -> None:
    said = fault(make_plugin("broken", kinds=source))

    assert "broken.kinds" in said
    assert reason in said


def test_a_plugin_that_brings_one_of_our_kinds_is_named(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("greedy", kinds=bringing("batch_predict")))

    assert said == "PLUGINS: greedy brings the kind 'batch_predict', which exists already"


def test_two_plugins_that_bring_the_same_kind_are_one_too_many(make_plugin: MakePlugin) -> None:
    plugins = [make_plugin(name, kinds=bringing("same")) for name in ("first", "second")]

    assert fault(*plugins) == "PLUGINS: second brings the kind 'same', which exists already"


def test_a_plugin_that_lists_a_kind_under_another_name_is_named(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("confused", kinds=bringing("cats", listed="dogs")))

    assert said == "PLUGINS: confused lists the kind 'cats' under 'dogs'"


def test_the_api_does_not_start_with_a_plugin_that_is_wrong() -> None:
    settings = load_settings(
        _env_file=None,
        database_url="postgresql://nowhere/at_all",
        redis_url="redis://nowhere",
        plugins="no_such_package",
    )

    with pytest.raises(ConfigurationError, match="no_such_package"):
        create_app(settings)


def test_several_plugins_are_named_with_commas_between_them() -> None:
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
def test_kinds_that_are_none_are_named(make_plugin: MakePlugin, kinds: str) -> None:
    assert "nonsense.kinds" in fault(make_plugin("nonsense", kinds=kinds))
