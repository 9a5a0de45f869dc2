"""Reads the rows to predict, and uploads texts that are too many for a request."""

import json
from collections.abc import Sequence
from tempfile import NamedTemporaryFile
from typing import Any

from app.cli.errors import UsageError
from app.client import Dataset, Headrace


def parse_rows(rows: Sequence[str]) -> list[Any]:
    """Rows from JSON: an object by column, or a list in the order of the columns. Raises UsageError."""
    return [_parse(row) for row in rows]


def upload_texts(client: Headrace, texts: Sequence[str]) -> Dataset:
    """Upload texts as a dataset with the column `text`."""
    with NamedTemporaryFile("w", prefix="headrace-", suffix=".jsonl", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        return client.upload(file.name, name="texts.jsonl", columns={"text": "text"})


def _parse(row: str) -> Any:
    try:
        parsed = json.loads(row)
    except ValueError as error:
        raise UsageError(f"--row: not JSON: {error}.") from None
    if not isinstance(parsed, dict | list):
        raise UsageError("--row: expected a JSON object by column, or a list in the order of the columns.")
    return parsed
