"""Who is asking is known before a body is read, and how much there is of it before it is parsed."""

import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app.core.database import Database
from app.http.body import LargeBody
from app.http.offloading import has_large_body
from app.http.parsing import PIECE_BYTES
from app.http.routing import MAX_VALUES, SMALL_BODY_BYTES, BoundedRoute
from tests.conftest import SignUp

JSON = {"Content-Type": "application/json"}
LARGE = [
    *("POST /jobs/batch-predict", "POST /jobs/evaluate-model", "POST /jobs/train-model", "POST /jobs/bulk"),
    *("POST /jobs/send-email", "POST /send-email", "POST /send-bulk-email", "POST /predict"),
    *("POST /schedules", "PUT /schedules/{schedule}", "PATCH /schedules/{schedule}"),
    *("POST /scheduler/api/jobs", "POST /jobs/convert-model", "POST /jobs/preprocess-dataset"),
]


def test_every_route_that_takes_a_body_is_bounded(app: FastAPI) -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.body_field is not None]

    assert len(routes) > 10
    assert [route.path for route in routes if not isinstance(route, BoundedRoute)] == []


def test_only_the_routes_that_take_rows_may_have_a_large_body(app: FastAPI) -> None:
    large = [
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, APIRoute)
        and route.body_field is not None
        and isinstance(route.body_field.field_info.annotation, type)
        and issubclass(route.body_field.field_info.annotation, LargeBody)
        for method in route.methods or ()
    ]

    assert sorted(large) == sorted(LARGE)


@pytest.mark.parametrize("operation", [*LARGE, "POST /stream-tickets", "POST /dead-letters/retry"])
async def test_a_bad_token_is_refused_before_the_body_is_read(
    client: httpx.AsyncClient, operation: str
) -> None:
    method, path = operation.split()
    taken: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        taken.append(b"{")
        yield b"{"

    headers = {**JSON, "Authorization": "Bearer forged"}
    answer = await client.request(method, path, content=body(), headers=headers)

    assert answer.status_code == 401
    assert taken == []


@pytest.mark.parametrize("operation", LARGE)
async def test_more_values_than_are_allowed_are_refused_before_they_are_parsed(
    client: httpx.AsyncClient, sign_up: SignUp, operation: str
) -> None:
    method, path = operation.split()
    headers = await sign_up("ada")
    body = b'{"instances":[[' + b",".join([b"1"] * MAX_VALUES) + b"]]}"

    answer = await client.request(method, path, content=body, headers={**JSON, **headers})

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_many_values"
    assert answer.json()["limit"] == MAX_VALUES


@pytest.mark.parametrize("texts", [1, 10], ids=["at once", "in pieces"])
async def test_a_large_body_is_read_like_a_small_one(
    client: httpx.AsyncClient, sign_up: SignUp, database: Database, texts: int
) -> None:
    headers = {**await sign_up("ada"), **JSON}
    text = 'Grüße, "so" \\ 🙂 ' * 5000
    body = json.dumps({"texts": [text] * texts, "metadata": {"a": "ü"}}).encode()
    assert len(body) > SMALL_BODY_BYTES
    assert (len(body) > PIECE_BYTES) is (texts > 1)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    key = {"Idempotency-Key": "one"}
    whole = await client.post("/jobs/batch-predict", content=body, headers={**headers, **key})
    again = await client.post("/jobs/batch-predict", content=chunks(), headers={**headers, **key})

    assert (whole.status_code, again.status_code) == (202, 200)
    assert whole.json()["job_id"] == again.json()["job_id"]
    async with database.connection() as connection:
        stored = await connection.fetchval(
            "SELECT rows FROM job_payloads WHERE job_id = $1", UUID(whole.json()["job_id"])
        )
    assert json.loads(stored) == [text] * texts


class Texts(LargeBody):
    texts: list[str]


@pytest.mark.parametrize("texts", [1, 10])
async def test_the_work_on_a_body_that_is_parsed_in_pieces_leaves_the_event_loop(
    client: httpx.AsyncClient, app: FastAPI, texts: int
) -> None:
    async def probe(body: Texts) -> bool:
        return has_large_body()

    router = APIRouter(route_class=BoundedRoute)
    router.add_api_route("/probe", probe, methods=["POST"])
    app.include_router(router)

    answer = await client.post("/probe", json={"texts": ["a" * (PIECE_BYTES // 2)] * texts})

    assert answer.json() is (texts > 1)


@pytest.mark.parametrize("size", [10, SMALL_BODY_BYTES + 10])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_no_json_is_a_fault_of_the_body(
    client: httpx.AsyncClient, sign_up: SignUp, size: int, is_chunked: bool
) -> None:
    headers = await sign_up("ada")
    body = b'{"texts":["' + b"x" * size

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    content = chunks() if is_chunked else body
    malformed = await client.post("/jobs/batch-predict", content=content, headers={**headers, **JSON})
    plain = {**headers, "Content-Type": "text/plain"}
    other = await client.post("/jobs/batch-predict", content=body, headers=plain)

    assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_json")
    # Where the text begins, or where it should have ended: the parsers of small and large bodies differ.
    assert (malformed.json()["line"], malformed.json()["column"] in (11, 12, len(body), len(body) + 1)) == (
        1,
        True,
    )
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")


async def test_no_body_at_all_is_a_missing_body(client: httpx.AsyncClient, sign_up: SignUp) -> None:
    answer = await client.post("/jobs/batch-predict", headers={**await sign_up("ada"), **JSON})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"loc": ["body"], "msg": "Field required", "type": "missing"}]
