"""Every error is a problem document, and says nothing that it should not."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from app.core.errors import AppError, BadRequest, DatabaseUnavailable, Unauthorized
from app.http import problems
from app.http.body import MAX_UNKNOWN, CleanStr, StrictBody

SECRET = "canary-5f2c"


class TooManyRows(BadRequest):
    """Maximum {limit} texts allowed."""

    code = "too_many_rows"
    title = "Too many rows"


class SignUp(StrictBody):
    name: str = Field(max_length=5)
    age: int


def assert_is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:headrace:problem:{code}"
    assert problem["instance"] == response.request.url.path
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    return problem


def route_that_raises(stand: FastAPI, error: Exception) -> None:
    @stand.get("/trouble")
    async def trouble() -> None:
        raise error


async def test_an_error_of_ours_carries_its_sentence_and_its_facts(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    route_that_raises(stand, TooManyRows(limit=1000, got=1200, dataset_id=UUID(int=7)))

    problem = assert_is_problem(await visitor.get("/trouble"), 400, "too_many_rows")

    assert problem["detail"] == "Maximum 1000 texts allowed."
    assert problem["limit"] == 1000
    assert problem["got"] == 1200
    assert problem["dataset_id"] == "00000000-0000-0000-0000-000000000007"


async def test_a_fact_cannot_take_the_place_of_a_member(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    route_that_raises(stand, TooManyRows(limit=1000, status="running", code="mine", type="mine"))

    assert_is_problem(await visitor.get("/trouble"), 400, "too_many_rows")


async def test_401_says_how_to_sign_in(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    route_that_raises(stand, Unauthorized())

    response = await visitor.get("/trouble")

    assert_is_problem(response, 401, "invalid_token")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_503_says_when_to_come_back(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    route_that_raises(stand, DatabaseUnavailable())

    response = await visitor.get("/trouble")

    assert_is_problem(response, 503, "database_unavailable")
    assert int(response.headers["retry-after"]) >= 1


async def test_an_unknown_path_is_a_problem(visitor: httpx.AsyncClient) -> None:
    assert_is_problem(await visitor.get("/no/such/path"), 404, "not_found")


async def test_a_wrong_method_is_a_problem_and_keeps_the_allow_header(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    route_that_raises(stand, TooManyRows(limit=1))

    response = await visitor.delete("/trouble")

    assert_is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_what_the_framework_refuses_is_a_problem(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    route_that_raises(stand, HTTPException(418, "Short and stout", headers={"X-Pot": "tea"}))

    response = await visitor.get("/trouble")

    assert assert_is_problem(response, 418, "im_a_teapot")["detail"] == "Short and stout"
    assert response.headers["x-pot"] == "tea"


async def test_an_invalid_body_is_described_and_not_echoed(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.post("/people")
    async def add(body: SignUp) -> None: ...

    with capture_logs() as records:
        response = await visitor.post("/people", json={"name": SECRET, "age": SECRET, "owner_id": SECRET})

    errors = assert_is_problem(response, 422, "validation_error")["errors"]
    assert [(error["loc"], error["type"]) for error in errors] == [
        (["body", "name"], "string_too_long"),
        (["body", "age"], "int_parsing"),
        (["body", "owner_id"], "extra_forbidden"),
    ]
    assert all(error.keys() == {"loc", "msg", "type"} for error in errors)
    assert SECRET not in response.text
    assert SECRET not in str(records)


async def test_messages_that_quote_the_input_are_replaced(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    @stand.get("/people/{person_id}")
    async def read(person_id: UUID) -> None: ...

    response = await visitor.get("/people/~~~~")

    assert (
        assert_is_problem(response, 422, "validation_error")["errors"][0]["msg"]
        == "Input should be a valid UUID"
    )


async def test_the_length_of_text_is_in_characters(stand: FastAPI, visitor: httpx.AsyncClient) -> None:
    class Named(BaseModel):
        name: CleanStr | None = Field(min_length=1, max_length=3)

    @stand.post("/people")
    async def add(body: Named) -> None: ...

    for name, message in (
        ("abcd", "String should have at most 3 characters, not 4"),
        ("", "String should have at least 1 character, not 0"),
    ):
        response = await visitor.post("/people", json={"name": name})
        assert assert_is_problem(response, 422, "validation_error")["errors"][0]["msg"] == message


async def test_many_faults_with_monstrous_names_make_a_small_answer(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.post("/people")
    async def add(body: SignUp) -> None: ...

    fields = ",".join(f'"{number}{"x" * 10_000}": 1' for number in range(MAX_UNKNOWN))
    body = "{" + fields + "}"
    response = await visitor.post("/people", content=body, headers={"Content-Type": "application/json"})

    errors = assert_is_problem(response, 422, "validation_error")["errors"]
    assert len(errors) > MAX_UNKNOWN
    assert len(response.content) < 20_000


async def test_more_unknown_members_than_anybody_mistypes_are_one_fault(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.post("/people")
    async def add(body: SignUp) -> None: ...

    response = await visitor.post("/people", json={f"k{number}": 0 for number in range(MAX_UNKNOWN + 10)})

    [fault] = assert_is_problem(response, 422, "validation_error")["errors"]
    assert (fault["loc"], fault["type"]) == (["body"], "too_many_members")


async def test_an_unforeseen_error_gives_away_nothing_and_is_logged_with_its_request(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    route_that_raises(stand, RuntimeError(f"SELECT * FROM users WHERE password = '{SECRET}'"))

    with capture_logs() as records:
        response = await visitor.get("/trouble", headers={"X-Request-ID": "find-me"})

    assert_is_problem(response, 500, "internal_error")
    assert SECRET not in response.text
    assert "RuntimeError" not in response.text
    failed = next(record for record in records if record["event"] == "request_failed")
    assert isinstance(failed["exc_info"], RuntimeError)
    assert response.headers["x-request-id"] == "find-me"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'{"name": ', 400, id="cut short"),
        pytest.param(b"\xff\xfe\xfa", 400, id="not UTF-8"),
        pytest.param(b'{"name": "\xe9"}', 400, id="Latin-1"),
        pytest.param(b"[" * 100_000, 400, id="nested a hundred thousand deep"),
        pytest.param(b'{"age":' * 90_000, 400, id="objects nested deep"),
        pytest.param(b'{"age": ' + b"9" * 5000 + b"}", 400, id="a number with 5000 digits"),
        pytest.param(b'{"age": NaN}', 422, id="NaN"),
        pytest.param(b"null", 422, id="null"),
        pytest.param(b"", 422, id="nothing"),
    ],
)
async def test_a_body_that_is_no_json_is_the_clients_fault(
    stand: FastAPI, visitor: httpx.AsyncClient, body: bytes, status: int
) -> None:
    @stand.post("/people")
    async def add(body: SignUp) -> None: ...

    response = await visitor.post("/people", content=body, headers={"Content-Type": "application/json"})

    assert_is_problem(response, status, "validation_error" if status == 422 else "malformed_json")


def test_documented_errors_are_grouped_by_status_with_an_example_each() -> None:
    documented = problems.responses(TooManyRows(limit=1000, got=1200), BadRequest, DatabaseUnavailable)

    assert documented.keys() == {400, 503}
    content = documented[400]["content"]["application/problem+json"]
    assert content["examples"]["too_many_rows"]["value"]["detail"] == "Maximum 1000 texts allowed."
    assert content["examples"]["too_many_rows"]["value"]["got"] == 1200
    assert content["examples"].keys() == {"too_many_rows", "bad_request"}


def test_examples_are_problems() -> None:
    errors: list[AppError | type[AppError]] = [TooManyRows(limit=1000), Unauthorized, DatabaseUnavailable]

    for documented in problems.responses(*errors).values():
        for example in documented["content"]["application/problem+json"]["examples"].values():
            problems.Problem.model_validate(example["value"])


def test_the_openapi_document_knows_no_other_errors_than_ours(app: FastAPI) -> None:
    document = app.openapi()

    assert app.openapi() == document
    assert document["components"]["schemas"].keys() >= {"Problem", "Fault"}
    assert "HTTPValidationError" not in str(document)
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status.startswith("4") or status == "default":
                    assert list(response["content"]) == ["application/problem+json"], operation["operationId"]


class _Nested(BaseModel):
    deeper: "_Nested | None" = None


async def test_recursion_within_a_model_is_the_clients_fault(
    stand: FastAPI, visitor: httpx.AsyncClient
) -> None:
    @stand.post("/nested")
    async def add(body: _Nested) -> None: ...

    body = b'{"deeper":' * 300 + b"null" + b"}" * 300
    headers = {"Content-Type": "application/json"}
    assert (await visitor.post("/nested", content=body, headers=headers)).status_code == 422
