"""The head is lost and comes back, is not there yet, or asks for no token."""

import pytest

from app.core.errors import ConfigurationError
from app.jobs.workers.states import EngineState
from tests.ray import engines
from tests.ray.cluster import Cluster, gone
from tests.ray.starters import started
from worker.engines.engine import HostStartFailed


async def test_a_head_that_is_killed_takes_its_hosts_along_and_is_used_again_when_it_is_back(
    own_cluster: Cluster,
) -> None:
    own_cluster.start()
    async with started(own_cluster) as hosts:
        await hosts.start(1)

        own_cluster.kill()
        await hosts.until_lost(1)
        await hosts.until_available(is_available=False)
        with pytest.raises(HostStartFailed, match="not connected"):
            await hosts.place(2)

        own_cluster.start()
        await hosts.until_available()
        await hosts.start(3)

        assert hosts.lost == [1]


async def test_an_engine_waits_for_a_head_and_for_its_return(own_cluster: Cluster) -> None:
    async with engines.opened(own_cluster, slots=1) as engine:
        assert engine.state is EngineState.UNAVAILABLE

        own_cluster.start()
        attempt = await engines.run(engine, "report_environment")
        own_cluster.kill()
        await gone(attempt.result["parent"])
        own_cluster.start()

        again = await engines.run_again(engine, "report_environment")
        assert again.result["parent"] != attempt.result["parent"]


@pytest.mark.parametrize("own_cluster", ["disabled"], indirect=True)
async def test_a_cluster_that_asks_for_no_token_is_refused_in_one_line(own_cluster: Cluster) -> None:
    own_cluster.start()

    with pytest.raises(ConfigurationError) as refused:
        async with started(own_cluster):
            pass

    assert str(refused.value) == (
        f"RAY_ADDRESS: the Ray cluster at {own_cluster.address} asks for no token; "
        "start it with RAY_AUTH_MODE=token"
    )
