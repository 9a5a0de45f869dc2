"""What is said of a file at its upload, over HTTP."""

import json
from typing import Any

import httpx
import pytest

from tests.datasets.conftest import MEDIA_TYPES
from tests.support.accounts import Account


async def test_what_is_said_of_a_file_goes_before_what_is_found_and_is_in_the_answer(
    client: httpx.AsyncClient, alice: Account
) -> None:
    columns = {"zip": "category", "note": "ignore"}
    answer = await client.post(
        "/datasets",
        params={
            "name": "sales",
            "encoding": "windows-1252",
            "null_values": ["NA", "-"],
            "columns": json.dumps(columns),
        },
        content="zip;price;note\n12;NA;x\n7;2,5;grün\n".encode("cp1252"),
        headers={"Content-Type": "text/csv", **alice.headers},
    )

    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert created["options"] == {
        "delimiter": ";",
        "encoding": "cp1252",
        "null_values": ["NA", "-"],
        "columns": columns,
    }
    assert created["columns"] == [
        {"name": "zip", "type": "text", "declared": "category"},
        {"name": "price", "type": "text"},
    ]
    again = await client.get(created["links"]["self"], headers=alice.headers)
    assert again.json() == created
    preview = await client.get(created["links"]["preview"], headers=alice.headers)
    assert preview.json()["rows"] == [{"zip": "12", "price": None}, {"zip": "7", "price": "2,5"}]


@pytest.mark.parametrize(
    ("params", "media_type", "option"),
    [
        ({"delimiter": "x"}, "csv", "delimiter"),
        ({"delimiter": ";"}, "jsonl", "delimiter"),
        ({"encoding": "rot13"}, "csv", "encoding"),
        ({"encoding": "zlib"}, "csv", "encoding"),
        ({"encoding": "utf-16"}, "parquet", "encoding"),
        ({"columns": "zip"}, "csv", "columns"),
        ({"columns": '{"zip": "code"}'}, "csv", "columns"),
        ({"null_values": "x" * 201}, "csv", "null_values"),
    ],
)
async def test_an_option_that_cannot_be_used_is_refused_by_its_name(
    client: httpx.AsyncClient, alice: Account, params: dict[str, str], media_type: str, option: str
) -> None:
    headers = {"Content-Type": MEDIA_TYPES[media_type], **alice.headers}
    answer = await client.post(
        "/datasets", params={"name": "x", **params}, content=b"a\n1\n", headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_options")
    assert answer.json()["option"] == option


async def test_a_column_that_is_declared_and_not_there_and_a_cell_that_is_not_what_was_declared(
    client: httpx.AsyncClient, alice: Account
) -> None:
    headers = {"Content-Type": "text/csv", **alice.headers}

    async def refusal(declared: str) -> dict[str, Any]:
        params = {"name": "x", "columns": declared}
        answer = await client.post("/datasets", params=params, content=b"a,b\n1,x\nabc,y\n", headers=headers)
        assert answer.status_code == 422
        found: dict[str, Any] = answer.json()
        return found

    missing, misfit = await refusal('{"c": "number"}'), await refusal('{"a": "number"}')

    assert (missing["code"], missing["reason"]) == (
        "bad_header",
        "`columns` names columns that do not exist: 'c'",
    )
    assert (misfit["code"], misfit["line"]) == ("bad_row", 3)
    assert misfit["reason"] == "column 'a' is declared a number, but 'abc' is not one"
