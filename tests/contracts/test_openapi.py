"""The OpenAPI document is correct, and its examples match its schemas."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from app.core.config import Settings
from app.core.errors import AppError
from app.jobs.errors import NotAcceptable
from app.main import create_app

PROBLEM = "application/problem+json"


def _document() -> dict[str, Any]:
    settings = Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused")
    return create_app(settings).openapi()


DOCUMENT = _document()
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator(
        {"allOf": [schema], "components": DOCUMENT["components"]}, validate_formats=True
    )


def media_types(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything with a schema and examples: bodies, responses, parameters."""
    for name, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {name}", media
    for status, answer in operation["responses"].items():
        for name, media in answer.get("content", {}).items():
            yield f"{status} {name}", media
    for parameter in operation.get("parameters", []):
        yield f"parameter {parameter['name']}", parameter


def examples(media: dict[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for example in media.get("examples", {}).values():
        yield example["value"]
    yield from media.get("schema", {}).get("examples", [])


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_example_of_an_operation_is_valid(name: str) -> None:
    for where, media in media_types(OPERATIONS[name]):
        for example in examples(media):
            errors = list(validator(media["schema"]).iter_errors(example))
            assert not errors, (where, example, str(errors[0]))


def test_each_example_of_a_schema_is_valid() -> None:
    found = 0
    for name, schema in DOCUMENT["components"]["schemas"].items():
        properties = schema.get("properties", {}).items()
        for where, described in [(name, schema), *((f"{name}.{field}", part) for field, part in properties)]:
            for example in described.get("examples", []):
                errors = list(validator(described).iter_errors(example))
                assert not errors, (where, example, str(errors[0]))
                found += 1
    assert found


def test_an_invalid_example_would_be_noticed() -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    assert list(validator(schema).iter_errors({"status": "completed"}))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_route_that_needs_a_user_documents_401(name: str) -> None:
    operation = OPERATIONS[name]
    if "security" not in operation:
        assert "401" not in operation["responses"] or name.startswith(("POST /token", "POST /session"))
        return
    answer = operation["responses"]["401"]
    assert answer["content"][PROBLEM]["examples"]["invalid_token"]["value"]["status"] == 401
    assert "503" in operation["responses"]


def test_every_create_with_an_idempotency_key_documents_its_replay() -> None:
    found = []
    for name, operation in OPERATIONS.items():
        if "Idempotency-Key" in (parameter["name"] for parameter in operation.get("parameters", [])):
            first = operation["responses"].get("202") or operation["responses"]["201"]
            replay = operation["responses"]["200"]
            dry_run = ["DryRun"] if "dry_run" in (one["name"] for one in operation["parameters"]) else []
            assert _alternatives(replay) == sorted(_alternatives(first) + dry_run), name
            assert "Idempotent-Replayed" in replay["headers"], name
            found.append(name)

    assert {"POST /jobs/batch-predict", "POST /jobs/bulk", "POST /models/{name}/versions"} <= set(found)


def _alternatives(answer: dict[str, Any]) -> list[str]:
    schema = _schema(answer)
    return sorted(one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", [schema]))


def _schema(answer: dict[str, Any]) -> Any:
    schema = dict(answer["content"]["application/json"]["schema"])
    schema.pop("title", None)
    return schema


def test_no_two_schemas_have_the_same_name() -> None:
    """Generated clients would lack both, and every response that has one of them."""
    schemas = DOCUMENT["components"]["schemas"].items()
    titles = Counter(schema["title"] for name, schema in schemas if not name.endswith("-Input"))

    assert [title for title, times in titles.items() if times > 1] == []
    assert not {name for name, _ in schemas if name.endswith(("-Input", "-Output"))}


def test_406_lists_media_types() -> None:
    error = NotAcceptable(offered=["application/json", "text/csv"])

    assert error.detail == "The results are available as application/json, text/csv."
    assert error.facts["offered"] == ["application/json", "text/csv"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_message_shows_a_python_list(name: str) -> None:
    for _, media in media_types(OPERATIONS[name]):
        for example in examples(media):
            if isinstance(example, dict) and "detail" in example:
                assert "['" not in example["detail"]


def test_a_sentence_names_the_items_of_a_list() -> None:
    class Missing(AppError):
        """Columns are missing: {columns}."""

    for columns in (["a", "b"], ("a", "b")):
        assert Missing(columns=columns).detail == "Columns are missing: a, b."
