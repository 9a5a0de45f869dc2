"""The worker's half of plugins: both halves must be there, and a wrong plugin stops the worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.config import Settings
from app.core.errors import ConfigurationError
from app.jobs import completions
from app.jobs.kinds import registry
from tests.conftest import MakePlugin
from tests.support import processes
from worker import plugins, runtimes
from worker.context import JobError
from worker.runtimes import file_runtime, runtime
from worker.training import learners

NO_LOAD = """
class Runtime:
    def load(self, reference, path):
        raise AssertionError

RUNTIMES = {"abacus": Runtime}
"""
FORMAT = """
from app.models.formats import FileFormat

FORMATS = {"abacus": FileFormat("abacus", "beads", lambda head: False)}
"""
ALGORITHM = """
from app.jobs.algorithms.catalogue import Algorithm
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.models.versions import Task

ALGORITHMS = {"guess": Algorithm("guess", (Task.REGRESSION,), "A guess.", Hyperparameters)}
"""
LEARNER = """
from worker.training.features import Shape
from worker.training.learners import LearnerSpec

LEARNERS = {"guess": LearnerSpec(Shape.DENSE, lambda params, data: None)}
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The registries of this process, without plugins again."""
    yield
    plugins.install((), {})
    learners.install(())


def fault(*names: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        plugins.install(names, {"batch_predict": lambda job: {}})
    return str(raised.value)


def test_handlers_runtimes_and_learners_are_installed() -> None:
    names = ("examples.word_count", "examples.constant_runtime", "examples.nearest_centroid")

    assert set(plugins.install(names, {})) == {"word_count"}
    assert runtime("constant") is not None
    assert runtime("constant") is file_runtime("constant")


def test_a_runtime_that_takes_no_files_is_not_a_file_runtime(make_plugin: MakePlugin) -> None:
    runtimes.install([make_plugin("abacus", runtimes=NO_LOAD)])

    assert runtime("abacus") is not None
    assert file_runtime("abacus") is None


def test_a_plugin_cannot_replace_a_built_in_handler(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("greedy", handlers="HANDLERS = {'batch_predict': print}")

    assert fault(plugin) == "PLUGINS: greedy adds the handler 'batch_predict', which already exists"


def test_a_plugin_cannot_replace_a_built_in_runtime(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("greedy", runtimes=NO_LOAD.replace("abacus", "sklearn"))

    assert fault(plugin) == "PLUGINS: greedy adds the runtime 'sklearn', which already exists"


def test_a_file_format_needs_a_runtime_that_loads_files(make_plugin: MakePlugin) -> None:
    for name, modules in (("none", {}), ("no_files", {"runtimes": NO_LOAD})):
        plugin = make_plugin(name, formats=FORMAT, **modules)

        assert fault(plugin) == "PLUGINS: no runtime that loads files for the format abacus"


def test_an_algorithm_needs_a_learner(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("guessing", algorithms=ALGORITHM)

    assert fault(plugin) == "PLUGINS: no learner for the algorithm guess"


def test_a_learner_needs_an_algorithm(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("guessing", learners=LEARNER)

    assert fault(plugin) == "PLUGINS: no algorithm for the learner guess"


def test_a_worker_without_the_plugin_says_which_algorithm_it_lacks() -> None:
    with pytest.raises(JobError) as raised:
        learners.algorithm("nearest_centroid")

    assert (raised.value.code, raised.value.is_retryable) == ("unknown_algorithm", True)
    assert raised.value.message == "this worker cannot train with nearest_centroid"


def test_a_completion_needs_a_kind(make_plugin: MakePlugin) -> None:
    plugin = make_plugin("late", completions="COMPLETIONS = {'nothing': print}")

    with pytest.raises(ConfigurationError) as raised:
        completions.load([plugin], registry.load([plugin]))

    assert str(raised.value) == "PLUGINS: there is a completion but no kind for nothing"


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ({"handlers": "HANDLERS = {'lost': print}"}, "no kind for the handler of lost"),
        ({"handlers": "HANDLERS = 7"}, "HANDLERS of wrong.handlers must map names to handlers"),
        ({"formats": FORMAT}, "no runtime that loads files for the format abacus"),
    ],
)
async def test_a_worker_does_not_start_with_a_wrong_plugin(
    make_plugin: MakePlugin,
    plugins_path: Path,
    settings: Settings,
    tmp_path: Path,
    modules: dict[str, str],
    reason: str,
) -> None:
    environment = processes.environment(
        settings, PLUGINS=make_plugin("wrong", **modules), PYTHONPATH=str(plugins_path)
    )

    log_path = tmp_path / "worker.log"
    async with processes.program("worker", env=environment, log_path=log_path) as worker:
        assert await worker.wait() == 1

    assert f"PLUGINS: {reason}" in worker.log
