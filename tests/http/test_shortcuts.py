"""A job is found by its id at once, and by no other path."""

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match, NoMatchFound
from starlette.types import Scope

from app.http.shortcuts import Shortcut
from tests.support.accounts import Account

JOB_ID = "0198d1c2-55aa-7b10-9e0f-6a1c2d3e4f5a"


@pytest.fixture
def shortcut(app: FastAPI) -> Shortcut:
    [found] = [route for route in app.routes if isinstance(route, Shortcut)]
    return found


def scope_of(path: str, method: str = "GET", **more: object) -> Scope:
    return {"type": "http", "method": method, "path": path, "headers": [], **more}


def test_a_shortcut_is_tried_first_and_leads_to_the_route_itself(app: FastAPI, shortcut: Shortcut) -> None:
    match, found = shortcut.matches(scope_of(f"/jobs/{JOB_ID}"))

    assert app.routes[0] is shortcut
    assert match is Match.FULL
    assert found["path_params"] == {"job_id": JOB_ID}
    assert isinstance(found["route"], APIRoute)
    assert (found["route"].path, found["route"].methods) == ("/jobs/{job_id}", {"GET"})


@pytest.mark.parametrize(
    "scope",
    [
        scope_of("/jobs"),
        scope_of("/jobs/stream"),
        scope_of("/jobs/counts"),
        scope_of(f"/jobs/{JOB_ID}/stream"),
        scope_of(f"/jobs/{JOB_ID}0"),
        scope_of(f"/jobs/{JOB_ID.upper()}G"),
        scope_of(f"/groups/{JOB_ID}"),
        scope_of(f"/jobs/{JOB_ID}", "DELETE"),
        scope_of(f"/jobs/{JOB_ID}", root_path="/jobs"),
        {"type": "websocket", "path": f"/jobs/{JOB_ID}"},
    ],
    ids=str,
)
def test_other_requests_are_left_to_the_other_routes(shortcut: Shortcut, scope: Scope) -> None:
    assert shortcut.matches(scope) == (Match.NONE, {})


def test_paths_are_made_by_the_route_itself(app: FastAPI, shortcut: Shortcut) -> None:
    with pytest.raises(NoMatchFound):
        shortcut.url_path_for("get_job", job_id=JOB_ID)

    assert app.url_path_for("get_job", job_id=JOB_ID) == f"/jobs/{JOB_ID}"


async def test_the_metrics_name_the_route(client: httpx.AsyncClient, alice: Account) -> None:
    line = 'headrace_http_requests_total{method="GET",route="/jobs/{job_id}",status="404"}'

    answer = await client.get(f"/jobs/{JOB_ID}", headers=alice.headers)
    metrics = (await client.get("/metrics")).text

    assert answer.status_code == 404
    assert line in metrics
