"""The conformance suite of engines, on a real cluster."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance import engines as suite
from tests.conformance import test_engines
from tests.conformance.engines import Bench, Open
from tests.ray import engines
from tests.ray.cluster import Cluster

pytestmark = test_engines.pytestmark

# Nodes have an environment of their own, see `test_engine`.
_ABOUT_THIS_MACHINE = {"test_a_child_has_no_secrets_in_its_environment"}

globals().update(
    {
        name: test
        for name, test in vars(test_engines).items()
        if name.startswith("test_") and name not in _ABOUT_THIS_MACHINE
    }
)


@pytest.fixture(scope="module")
def open_engine(cluster: Cluster) -> Open:
    """What opens the engine of the suite, with hosts in the cluster, which has room for two engines."""
    return lambda _folder, slots: engines.opened(cluster, slots=slots, cpus=0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(open_engine: Open, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """The same engine for all tests that do not end it."""
    async with suite.bench(open_engine, tmp_path_factory.mktemp("ray")) as opened:
        yield opened
