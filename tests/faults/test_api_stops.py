"""The API receives SIGTERM while requests wait for a database that does not respond."""

import asyncio
import signal
from dataclasses import replace

import httpx

from tests.faults.conftest import System
from tests.support import proxy
from tests.support.apis import Api
from tests.support.proxy import PostgresProxy

JOB = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
STOP_SECONDS = 30.0


async def request(api: Api, method: str, path: str, **more: object) -> httpx.Response | None:
    """Send a request; return None if the connection was closed."""
    try:
        return await api.client.request(method, path, **more)  # type: ignore[arg-type]  # passed on
    except httpx.TransportError:
        return None


async def test_each_request_gets_503_or_a_closed_connection_and_the_log_no_traceback(
    system: System, postgres_proxy: PostgresProxy
) -> None:
    url = proxy.postgres_url(postgres_proxy, system.settings.database_url)
    behind = replace(system, settings=system.settings.model_copy(update={"database_url": url}))
    async with behind.api() as api:
        assert (await api.client.get("/jobs")).status_code == 200
        postgres_proxy.blackhole()
        password = {"username": "ada", "password": "a long enough passphrase"}
        requests = [
            asyncio.create_task(request(api, method, path, **more))
            for method, path, more in (
                ("GET", "/users/me", {}),
                ("GET", "/jobs", {}),
                ("GET", f"/jobs/{JOB}", {}),
                ("GET", "/models", {}),
                ("GET", "/datasets", {}),
                ("POST", "/users", {"json": password}),
                ("POST", "/token", {"data": password}),
                ("POST", "/token/refresh", {"json": {"refresh_token": "unknown"}}),
                ("POST", "/jobs/batch-predict", {"json": ["a text"]}),
                ("POST", "/predict", {"json": {"texts": ["a text"]}}),
                ("POST", "/datasets?name=x", {"content": b"a\n1\n", "headers": {"Content-Type": "text/csv"}}),
            )
        ]
        await asyncio.sleep(0.3)  # all requests are waiting now, and none has timed out
        api.process.send(signal.SIGTERM)
        answers = await asyncio.gather(*requests)
        code = await api.process.wait(STOP_SECONDS)

    assert code == 0, api.process.log
    statuses = [answer.status_code for answer in answers if answer is not None]
    assert set(statuses) <= {503}
    assert all("retry-after" in answer.headers for answer in answers if answer is not None)
    assert "Traceback" not in api.process.log
    assert "Exception in ASGI application" not in api.process.log
