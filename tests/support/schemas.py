"""Compares responses with the schemas that document them."""

import json
from typing import Any

from pydantic import TypeAdapter


def assert_matches(schema: Any, body: Any) -> None:
    """The body has the documented members, all of them and no others."""
    adapter = TypeAdapter(schema)
    adapter.validate_json(json.dumps(body))
    documented = adapter.json_schema(mode="serialization")
    assert_members(documented, documented, body)


def assert_members(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Each object has the members its schema names and no others, all the way down."""
    if reference := schema.get("$ref"):
        schema = document["$defs"][reference.rpartition("/")[2]]
    if isinstance(value, list) and "items" in schema:
        for item in value:
            assert_members(document, schema["items"], item)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, member in value.items():
            assert_members(document, schema["properties"][name], member)
